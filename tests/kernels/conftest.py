"""What the tests of the native kernels need: where it is missing they are skipped and say why."""

import numpy as np
import pytest

from keras_ab.kernels.native import build, register, switch
from keras_ab.kernels.native.errors import NotAvailable


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture(scope="session")
def compiler() -> build.Compiler:
    """The user's C++ compiler."""
    try:
        return build.compiler()
    except NotAvailable as missing:
        _skip(missing)


@pytest.fixture(scope="session")
def library() -> None:
    """The library of the kernels, built."""
    try:
        register.library()
    except NotAvailable as missing:
        _skip(missing)


def _skip(missing: NotAvailable) -> None:
    if switch.mode() == "require":  # as in CI, where nothing may be missing in silence
        raise missing
    pytest.skip(str(missing))
