"""The switch and the status."""

import subprocess
import sys

import pytest

from keras_ab import kernels
from keras_ab.kernels.native import register, switch


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    monkeypatch.setattr(switch.use, "_chosen", None)
    monkeypatch.delenv("KERAS_AB_KERNELS", raising=False)


@pytest.fixture
def missing(monkeypatch):
    def refuse() -> None:
        raise kernels.NotAvailable.because("A compiler must be there", "none", "Install g++.")

    monkeypatch.setattr(register, "library", refuse)
    monkeypatch.setattr(register, "with_backend", lambda _: refuse())


def test_native_is_the_default():
    assert switch.mode() == "native"


def test_the_call_beats_the_environment(monkeypatch):
    monkeypatch.setenv("KERAS_AB_KERNELS", "reference")
    assert switch.mode() == "reference"
    with kernels.use("native"):
        assert switch.mode() == "native"
    assert switch.mode() == "reference"


def test_uses_nest():
    with kernels.use("reference"):
        with kernels.use("native"):
            assert switch.mode() == "native"
        assert switch.mode() == "reference"


@pytest.mark.parametrize("bad", ["", "auto", "Native", None])
def test_an_unknown_mode(bad):
    with pytest.raises(
        ValueError, match=r"keras_ab.kernels\.use must be one of native, reference, require"
    ):
        kernels.use(bad)


def test_an_unknown_mode_in_the_environment(monkeypatch):
    monkeypatch.setenv("KERAS_AB_KERNELS", "fast")
    with pytest.raises(ValueError, match="KERAS_AB_KERNELS must be one of"):
        switch.mode()


def test_nothing_falls_back_in_silence(missing):
    with pytest.raises(kernels.NotAvailable) as caught:
        switch.native()
    assert caught.value.remedy == "Install g++."


def test_required_is_an_error_and_at_once(missing):
    with pytest.raises(kernels.Required, match=r"got none; to do: Install g\+\+"):
        kernels.use("require")
    assert switch.mode() == "native"
    assert not issubclass(kernels.Required, kernels.NotAvailable)


def test_required_by_the_environment(missing, monkeypatch):
    monkeypatch.setenv("KERAS_AB_KERNELS", "require")
    with pytest.raises(kernels.Required):
        switch.native()


def test_the_reference_needs_nothing(missing):
    with kernels.use("reference"):
        assert switch.native() is False


def test_status_names_every_operation_and_device():
    found = {(s.op, s.device) for s in kernels.status()}
    assert found == {(op, device) for op in switch.OPS for device in ("cpu", "cuda")}


def test_status_says_what_is_used_and_why(library):
    cpu = {s.op: s for s in kernels.status() if s.device == "cpu"}
    assert cpu["adam"] == kernels.Status("adam", "cpu", "native", "built and loaded")


def test_status_of_what_is_missing(missing):
    assert {(s.uses, s.why) for s in kernels.status()} == {
        ("nothing", "A compiler must be there; got none; to do: Install g++.")
    }


def test_status_of_the_reference(monkeypatch):
    monkeypatch.setenv("KERAS_AB_KERNELS", "reference")
    assert {(s.uses, s.why) for s in kernels.status()} == {
        ("reference", "chosen by KERAS_AB_KERNELS")
    }
    with kernels.use("reference"):
        assert {s.why for s in kernels.status()} == {"chosen by keras_ab.kernels.use"}


def test_an_unknown_backend(monkeypatch):
    with pytest.raises(kernels.NotAvailable, match="got the backend torch"):
        register.with_backend("torch")


def test_importing_and_asking_costs_no_framework():
    code = (
        "import sys; from keras_ab import kernels; kernels.use('native'); kernels.status();"
        "print([m for m in ('tensorflow', 'keras', 'jax', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kernels.nothing  # noqa: B018
