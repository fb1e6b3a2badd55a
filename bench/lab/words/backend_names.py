"""The backends that keras-ab knows: by name, and by what can be told without importing them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from keras_ab.bench.lab.words.errors import DeclarationError


@dataclass(frozen=True)
class Framework:
    """What a backend runs on.

    Args:
        title: its name for people.
        packages: the distributions that it is installed as; readers ask for their version.
        with_them: further distributions whose version is recorded.
        variables: what environment variables begin with that change what it computes or how fast.
    """

    title: str
    packages: tuple[str, ...]
    with_them: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


# TensorFlow has its variables listed: Terraform's begin with TF_ as well, and hold secrets.
FRAMEWORKS = {
    "tensorflow": Framework(
        "TensorFlow",
        ("tensorflow", "tensorflow-cpu"),
        variables=(
            "TF_CPP_",
            "TF_CPU_",
            "TF_CUDNN_",
            "TF_DETERMINISTIC_",
            "TF_DISABLE_",
            "TF_ENABLE_",
            "TF_FORCE_",
            "TF_GPU_",
            "TF_NUM_",
            "TF_ONEDNN_",
            "TF_USE_",
            "TF_XLA_",
        ),
    ),
    "jax": Framework("JAX", ("jax",), with_them=("jaxlib",), variables=("JAX_", "XLA_")),
    "torch": Framework("PyTorch", ("torch",), variables=("TORCH_",)),
}

KERAS = tuple(FRAMEWORKS)
"""Those that Keras runs on."""

NAMES = (*KERAS, "plain")

DEFAULT = "tensorflow"
"""What a run is on, unless somebody or something says otherwise."""


def is_installed(name: str) -> bool:
    """Tell whether what a backend runs on is installed, without importing it."""
    return name not in FRAMEWORKS or find_spec(name) is not None


def check_backend(name: str) -> None:
    """Refuse a backend that keras-ab does not know."""
    if name not in NAMES:
        raise DeclarationError(
            "a backend is one of those that keras-ab knows",
            repr(name),
            f"use one of {', '.join(NAMES)}",
        )
