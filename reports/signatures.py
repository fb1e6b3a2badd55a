"""Who answers for a run: a signature beside its file, checked by OpenSSH's ``ssh-keygen``.

The seal of a run says that no byte has changed since it was set, and not by whom. A signature does:

    ssh-keygen -Y sign -n keras-ab -f ~/.ssh/id_ed25519 RUN.jsonl    # writes RUN.jsonl.sig
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from keras_ab.bench.lab.words.errors import RecordError

NAMESPACE = "keras-ab"
"""What a signature is for: one that was given for something else does not count."""
SUFFIX = ".sig"


def check_signers(signers: Path) -> None:
    """Refuse to check any signature where that cannot be done.

    Raises:
        RecordError: ``ssh-keygen`` is missing, or the list of signers.
    """
    if not shutil.which("ssh-keygen"):
        raise RecordError(
            "signatures are checked by OpenSSH's ssh-keygen, 8.2 or later",
            "no ssh-keygen on the PATH",
            "install OpenSSH's client (apt install openssh-client), or leave --signers out",
        )
    if not signers.is_file():
        raise RecordError(
            "--signers names a file in the format of OpenSSH's allowed_signers",
            f"{signers}, which is no file",
            "write one line for each signer: alice@example.org ssh-ed25519 AAAA…",
        )


def signer(run: Path, signers: Path) -> str:
    """Return who of a list has signed a run file.

    Args:
        run: the file; its signature has the same name and ``.sig``.
        signers: names and public keys, in the format of OpenSSH's allowed_signers.

    Raises:
        RecordError: there is no signature, or it is nobody's in the list, or of other bytes.

    Source: OpenSSH, ssh-keygen(1), https://man.openbsd.org/ssh-keygen#ALLOWED_SIGNERS.
    """
    signature = run.with_name(run.name + SUFFIX)
    if not (run.is_file() and signature.is_file()):
        raise RecordError(
            "a signed run has its signature beside it, on this machine",
            f"no {signature}",
            f"ask who measured it for one: ssh-keygen -Y sign -n {NAMESPACE} -f KEY {run.name}",
        )
    listed = ("-f", str(signers), "-s", str(signature))
    known = _ssh_keygen("find-principals", *listed)
    if known.returncode:
        raise RecordError(
            f"a signature is by somebody whom {signers} lists",
            f"{signature}: {_said(known)}",
            "add the line of the signer's key if you trust it, or do not rely on this run",
        )
    for name in known.stdout.decode(errors="replace").splitlines():
        checked = _ssh_keygen("verify", *listed, "-I", name, "-n", NAMESPACE, content=run)
        if not checked.returncode:
            return name
    raise RecordError(
        f"a signature is of the run as it is now, and for {NAMESPACE}",
        f"{signature}: {_said(checked)}",
        "restore the file that was signed, or do not rely on this run",
    )


def _ssh_keygen(
    what: str, *arguments: str, content: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603
        ["ssh-keygen", "-Y", what, *arguments],  # noqa: S607
        input=content.read_bytes() if content else b"",
        capture_output=True,
        check=False,
    )


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return what a command said last."""
    lines = (done.stdout + done.stderr).decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")
