"""What `kernels/` refuses, and how: by an offer of the battery and a situation, or a backend.

`python -m tests.kernels.refusals` prints the table that kernels/native/README.md shows.
"""

from dataclasses import dataclass

import keras

from keras_ab import kernels
from tests.kernels import battery


@dataclass(frozen=True)
class Refusal:
    """How something is refused: an error of a kind, in whose text a pattern is, and why."""

    error: type[Exception]
    says: str
    because: str


CLIPS = ("native.AdaptiveClip", "AdaptiveGradientClipping")
FUSED = ("native.Adam", "native.SM3", "native.Adafactor")
CALLED = ("native.standardize", "native.batch_statistics")
INNER = ("use_ema", "clipnorm", "global_clipnorm", "clipvalue", "weight_decay")

REPLICAS = Refusal(
    NotImplementedError,
    "a tf.distribute strategy",
    "Gradients must be summed over the replicas first: use the stock optimizer.",
)
EXPORT = Refusal(
    ValueError,
    r'inside `with kernels.use\("reference"\)`',
    "A process that loads the SavedModel has no kernel: trace and export it inside "
    '`with kernels.use("reference")`.',
)
BACKEND = Refusal(
    kernels.NotAvailable,
    "Native kernels need Keras on TensorFlow or JAX",
    'There is no way into PyTorch yet: `kernels.use("reference")`.',
)


def _inner(option: str) -> Refusal:
    return Refusal(
        TypeError,
        f"unexpected keyword argument '{option}'",
        "It belongs to the step, which the optimizer inside takes: give it to that.",
    )


REFUSED: dict[tuple[str, str], Refusal] = {
    **{(clip, option): _inner(option) for option in INNER for clip in CLIPS},
    **{(name, "mirrored replicas"): REPLICAS for name in (*FUSED, *CLIPS)},
    **{(name, "exported"): EXPORT for name in CALLED},
}
NATIVE = tuple(name for name in battery.OFFERS if name.startswith("native."))


def refusal(name: str, where: str) -> Refusal | None:
    """Return how an offer is refused in a situation on Keras' backend; None where it is not."""
    found = REFUSED.get((name, where))
    on_torch = keras.backend.backend() == "torch" and name in NATIVE
    return BACKEND if on_torch and not found else found


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
