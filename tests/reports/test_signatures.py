"""A run is signed by ssh-keygen beside its file; verify says by whom, or why that counts not."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.bench.lab.record.run_file import RunWriter, read_run
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.command_line import main
from keras_ab.reports.citing import quotables
from keras_ab.reports.page import page, write_page
from keras_ab.reports.verify import verify
from tests.reports import simulated
from tests.reports.test_compare import jit

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="no ssh-keygen")


def key(folder: Path, name: str) -> Path:
    """Make a key without a passphrase."""
    path = folder / name
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
    subprocess.run(made, check=True, stdin=subprocess.DEVNULL)
    return path


def sign(run: Path, with_key: Path, namespace: str = "keras-ab") -> None:
    run.with_name(f"{run.name}.sig").unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(with_key), str(run)]
    subprocess.run(command, check=True, capture_output=True)


class Signed:
    """A run, a document that quotes it, a key, and the list of who may sign."""

    def __init__(self, folder: Path) -> None:
        self.key = key(folder, "alice")
        self.run = simulated.write(folder / "runs" / "r.jsonl", simulated.header("true"), [jit()])
        sign(self.run, self.key)
        self.signers = folder / "allowed_signers"
        self.allow("alice@example.org", self.key)
        self.document = folder / "review.md"
        first = next(iter(quotables(reports.load(self.run).runs)))
        self.document.write_text(first.sentence("markdown"))

    def allow(self, name: str, key: Path) -> None:
        public = key.with_suffix(".pub").read_text()
        self.signers.write_text(f"{name} {public}")

    def checked(self) -> tuple[str, str]:
        """Return what is said of the signature."""
        entry = verify(self.document, self.run.parent, self.signers)[-1]
        return entry.state, entry.why


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed(tmp_path)


def test_a_signed_run_says_by_whom(signed: Signed, capsys: pytest.CaptureFixture[str]) -> None:
    assert signed.checked() == ("holds", "signed by alice@example.org")
    arguments = [str(signed.document), "--runs", str(signed.run.parent)]
    assert main(["verify", *arguments, "--signers", str(signed.signers)]) == 0
    assert "signed by alice@example.org" in capsys.readouterr().out
    assert main(["verify", *arguments]) == 0
    assert "signed" not in capsys.readouterr().out


def test_the_runs_of_a_page_are_checked(signed: Signed, tmp_path: Path) -> None:
    signed.document = write_page(signed.run, tmp_path / "page.html")
    assert signed.checked() == ("holds", "signed by alice@example.org")


def refuses(signed: Signed, must: str, received: str) -> None:
    state, why = signed.checked()
    assert state == "not signed"
    assert why.startswith(must)
    assert received in why
    assert "what to do:" in why


def test_a_missing_signature_is_said(signed: Signed, capsys: pytest.CaptureFixture[str]) -> None:
    signed.run.with_name("r.jsonl.sig").unlink()
    refuses(signed, "a signed run has its signature beside it", "r.jsonl.sig")
    arguments = [str(signed.document), "--runs", str(signed.run.parent)]
    assert main(["verify", *arguments, "--signers", str(signed.signers)]) == 1
    assert "not signed: run true\n    a signed run has" in capsys.readouterr().out


def test_a_signature_of_nobody_in_the_list_is_said(signed: Signed, tmp_path: Path) -> None:
    signed.allow("alice@example.org", key(tmp_path, "mallory"))
    refuses(signed, "a signature is by somebody whom", "No principal matched")


@pytest.mark.parametrize("garbage", [b"", b"no signature\n", b"\xff\x00" * 50])
def test_what_is_no_signature_is_said(garbage: bytes, signed: Signed) -> None:
    signed.run.with_name("r.jsonl.sig").write_bytes(garbage)
    assert signed.checked()[0] == "not signed"


def test_a_signature_for_something_else_does_not_count(signed: Signed) -> None:
    sign(signed.run, signed.key, namespace="git")
    refuses(signed, "a signature is of the run as it is now, and for keras-ab", "namespace")


def test_a_run_sealed_anew_after_it_was_signed_is_found(signed: Signed) -> None:
    altered = signed.run.read_text().rpartition('{"kind":"seal"')[0].replace("0.00", "0.01", 1)
    signed.run.write_text(altered)
    RunWriter.reopen(read_run(signed.run)).seal()
    first = next(iter(quotables(reports.load(signed.run).runs)))
    signed.document.write_text(first.sentence("markdown"))
    refuses(signed, "a signature is of the run as it is now", "incorrect signature")


def test_of_two_contents_the_signed_one_is_told(signed: Signed) -> None:
    simulated.write(signed.run.with_name("a.jsonl"), simulated.header("true"), [jit(jit=0.5)])
    found = verify(signed.document, signed.run.parent, signed.signers)
    assert [entry.state for entry in found] == ["two contents", "holds", "not signed", "holds"]


def test_without_ssh_keygen_or_a_list_nothing_is_checked(
    signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecordError, match="allowed_signers"):
        verify(signed.document, signed.run, tmp_path / "nobody")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RecordError, match="no ssh-keygen on the PATH"):
        verify(signed.document, signed.run, signed.signers)


def renamed(run: Path, name: str) -> Path:
    """Write the content of a run under another id, sealed anew."""
    head, *lines = run.read_text().splitlines()
    path = run.with_name(f"{name}.jsonl")
    path.write_text("\n".join([json.dumps(json.loads(head) | {"run": name}), *lines[:-1], ""]))
    RunWriter.reopen(read_run(path)).seal()
    return path


def test_one_content_under_two_ids_is_said(signed: Signed) -> None:
    renamed(signed.run, "copy")
    found = verify(signed.document, signed.run.parent)
    assert [(entry.state, entry.what) for entry in found] == [
        ("holds", found[0].what),
        ("two ids", "run true"),
    ]
    assert found[1].why == "samples of it are in run copy as well"
    html = page(reports.load(signed.run.parent))
    assert html.count("one content under two ids: samples of it are in run ") == 2
    assert "one content under two ids" not in page(reports.load(signed.run))
