"""What `kernels/` refuses, and how: by an offer of the battery and a situation, or a backend.

`python -m tests.kernels.refusals` prints the table that kernels/native/README.md shows.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_ab import kernels
from tests.kernels import battery


@dataclass(frozen=True)
class Refusal:
    """How something is refused.

    Args:
        error: its kind.
        says: a pattern that its text has.
        because: the reason, for the table.
        plain_form_serves: whether `kernels.use("reference")` is a way out.
    """

    error: type[Exception]
    says: str
    because: str
    plain_form_serves: bool = False


CLIPS = ("native.AdaptiveClip", "AdaptiveGradientClipping")
FUSED = ("native.Adam", "native.SM3", "native.Adafactor")
CALLED = ("native.standardize", "native.batch_statistics")
NATIVE = tuple(name for name in battery.OFFERS if name.startswith("native."))
INNER = ("use_ema", "clipnorm", "global_clipnorm", "clipvalue", "weight_decay")

SUMMED = Refusal(
    NotImplementedError,
    "summed over replicas before it is clipped",
    "The sum over the replicas comes after it: use the inner optimizer's `global_clipnorm`.",
)
FUSED_ALONE = Refusal(
    NotImplementedError,
    r'use the stock optimizer, or kernels\.use\("reference"\)',
    'The kernel updates one copy of the variables: `kernels.use("reference")`.',
    plain_form_serves=True,
)
EXPORT = Refusal(
    ValueError,
    r'inside `with kernels.use\("reference"\)`',
    'A process that loads the SavedModel has no kernel: `kernels.use("reference")`.',
    plain_form_serves=True,
)
BACKEND = Refusal(
    kernels.NotAvailable,
    "Native kernels need Keras on TensorFlow or JAX",
    'There is no way into PyTorch: `kernels.use("reference")`.',
    plain_form_serves=True,
)


def _inner(option: str) -> Refusal:
    return Refusal(
        TypeError,
        f"unexpected keyword argument '{option}'",
        "It belongs to the step, which the optimizer inside takes: give it to that.",
    )


REFUSED: dict[tuple[str, str], Refusal] = {
    **{(clip, option): _inner(option) for option in INNER for clip in CLIPS},
    **{(clip, "mirrored replicas"): SUMMED for clip in CLIPS},
    **{(name, "mirrored replicas"): FUSED_ALONE for name in FUSED},
    **{(name, "exported"): EXPORT for name in CALLED},
}


def refusal(name: str, where: str) -> Refusal | None:
    """Return how an offer is refused in a situation on Keras' backend; None where it is not."""
    found = REFUSED.get((name, where))
    on_torch = keras.backend.backend() == "torch" and name in NATIVE
    return BACKEND if on_torch and not found else found


def wrong(name: str, where: str, path: Path) -> str:
    """Return what is wrong with an offer in a situation; an empty text if nothing is.

    Nothing is where it trains as its plain form does, or is refused as it is said, and then trains
    as it is said to.
    """
    expected = refusal(name, where)
    error = _error(name, where, path, "native")
    if expected is None:
        return _told(error) if error else ""
    if not isinstance(error, expected.error) or not re.search(expected.says, str(error)):
        return f"not refused as is said ({expected.because}): {_told(error)}"
    if not expected.plain_form_serves:
        return ""
    error = _error(name, where, path, "reference")
    return f"nor does the plain form serve: {_told(error)}" if error else ""


def _error(name: str, where: str, path: Path, mode: str) -> Exception | None:
    try:
        battery.check_trains(name, where, path, mode)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        return error
    return None


def _told(error: Exception | None) -> str:
    return f"{type(error).__name__}: {error}" if error else "it trains"


def table() -> str:
    """Return what is refused, in Markdown."""
    rows: dict[tuple[str, str], list[str]] = {}
    for (name, where), refused in REFUSED.items():
        rows.setdefault((refused.because, where), []).append(f"`{name}`")
    rows[BACKEND.because, "PyTorch"] = [f"`{name}`" for name in NATIVE]
    lines = [f"| {', '.join(who)} | {what} | {why} |" for (why, what), who in rows.items()]
    return "\n".join(["| what | refuses | because |", "|---|---|---|", *lines])


if __name__ == "__main__":
    print(table())
