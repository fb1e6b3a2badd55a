"""Does using each loaded element several times make training faster, and is less learnt?"""

from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from keras_ab import (
    Attempt,
    Claim,
    Experiment,
    Guard,
    Metric,
    Params,
    Prepared,
    Quality,
    Recipe,
    Source,
    arm,
    backends,
    grid,
    sources,
)
from keras_ab.bench.workloads.classifier import DIGITS

CHOI = Source(
    author="D. Choi, A. Passos, C. J. Shallue, G. E. Dahl",
    title="Faster Neural Network Training with Data Echoing",
    year=2019,
    url="https://arxiv.org/abs/1907.05550",
)

SHUFFLED = 256
"""Elements among which repeats are drawn."""

BUDGET = 64
"""Steps of the baseline, each on fresh data: both the budget of steps and that of fresh data."""

LEARNT_FROM: Params = {"edge": 28, "encoding": "png"}
"""Files for quality: small ones, because how large the files are does not change what is learnt."""


@dataclass(frozen=True)
class Echo:
    """How often each loaded element is used, and where in the pipeline it is repeated."""

    factor: int = 1
    place: str = "before_augmentation"


def flat(image: Any, payload: Any) -> tuple[Any, Any]:
    """Augment one image and return its pixels as the classifier takes them."""
    import tensorflow as tf

    from keras_ab.bench.workloads.image_files import augment

    image, payload = augment(image, payload)
    return tf.reshape(image, (-1,)), payload


def batches(echo: Echo, case: Params, elements: Any, seed: int = 0) -> Any:
    """Return the pipeline from single elements to batches, with the echo in its place."""
    from keras_ab.kernels.data_echoing import echoed_batches

    return echoed_batches(
        elements,
        echo.factor,
        int(case["batch"]),
        augment=flat,
        place=echo.place,
        shuffle_buffer=SHUFFLED,
        seed=seed,
    )


def prepare(echo: Echo, case: Params) -> Prepared:
    """Make one training step ready, with all that it takes to load its batch."""
    from keras_ab.bench.workloads.image_files import elements

    model = DIGITS.compiled(Recipe(), case)
    training = backends.of_keras().training(model, jit=False)
    loaded = iter(batches(echo, case, elements(case).repeat()))
    return Prepared(
        step=lambda: training.step(next(loaded)),
        observe=partial(observe, echo, case, model),
    )


def observe(echo: Echo, case: Params, model: Any) -> dict[str, Any]:
    """Return how often each file is used in one pass, over e, and a loss from the first weights."""
    import numpy as np

    from keras_ab.bench.workloads.image_files import elements

    count, size = int(case["files"]), int(case["batch"])
    once = batches(echo, case, elements(case, payload=np.arange(count)))
    used = np.concatenate([numbers for _, numbers in once.as_numpy_iterator()])
    images, labels = DIGITS.data(case)
    batch = (images[:size], labels[:size])
    loss, _ = backends.of_keras().loss_and_gradients(model, batch, jit=False)
    return {"uses": np.bincount(used, minlength=count) / echo.factor, "loss": loss}


def train(echo: Echo, case: Params, seed: int, learning_rate: float) -> dict[str, float]:
    """Train on the budget of fresh data; return the accuracy there and at the budget of steps."""
    import keras

    from keras_ab.bench.workloads.image_files import elements
    from keras_ab.bench.workloads.training import accuracy

    keras.utils.set_random_seed(seed)
    model = DIGITS.compiled(Recipe(learning_rate=learning_rate), case)
    training = backends.of_keras().training(model, jit=False)
    fresh = elements({**case, **LEARNT_FROM}).shuffle(int(case["files"]), seed=seed).repeat()
    loaded = iter(batches(echo, case, fresh, seed))
    found = {}
    for name, steps in (("steps", BUDGET), ("data", BUDGET * (echo.factor - 1))):
        for batch in islice(loaded, steps):
            training.step(batch)
        training.settle()
        found[f"accuracy_at_same_{name}"] = accuracy(model, *DIGITS.test(case))
    return found


def snippet() -> str | None:
    """Repeat each element of a data set with the source's own function."""
    import tensorflow as tf

    def data_echoing(factor: int) -> Any:
        return lambda image, label: tf.data.Dataset.from_tensors((image, label)).repeat(factor)

    pairs = tf.data.Dataset.from_tensor_slices(([1, 2], [3, 4])).flat_map(data_echoing(2))
    found = [tuple(map(int, pair)) for pair in pairs]
    return None if found == [(1, 3), (1, 3), (2, 4), (2, 4)] else f"yields {found}"


EXPERIMENT = Experiment(
    name="data_echoing",
    question="Does using each loaded image e times save time, and is less learnt?",
    method=(
        "A classifier is trained on digits that are read from files, decoded, augmented and "
        "batched. The baseline uses each decoded image once; the other arms use it e times, each "
        "time augmented anew, or once augmented for all e. Timed is a training step with the "
        "loading of its batch; nothing is loaded ahead, so that no arm works while another is "
        f"timed. Quality is the accuracy on digits kept apart, once after the same {BUDGET} steps "
        "and once after the same number of images loaded, which gives an arm e times the steps; it "
        "is paired by seed, and the learning rate is the better of two on another seed."
    ),
    held_fixed="model, first weights, files, augmentation, batch size, shuffle buffer, optimizer",
    does_not_show=(
        "Pipelines that load ahead on idle cores, where a step takes the longer of loading and "
        "training and not their sum; sources on a network; echoing of whole batches; long training."
    ),
    sources=(CHOI, sources.TEN),
    arms=(
        arm("once", prepare, Echo(), "each decoded image is used once"),
        arm("before_2", prepare, Echo(2), "twice, before augmentation"),
        arm("before_4", prepare, Echo(4), "4 times, before augmentation"),
        arm("before_8", prepare, Echo(8), "8 times, before augmentation"),
        arm(
            "after_4",
            prepare,
            Echo(4, "after_augmentation"),
            "4 times, after augmentation",
        ),
    ),
    cases=(
        *grid(edge=(224,), encoding=("png",), files=(512,), batch=(32,), width=(128,)),
        *grid(
            quick=False,
            edge=(28, 672),
            encoding=("png", "jpeg"),
            files=(3500,),
            batch=(64,),
            width=(512,),
        ),
    ),
    guards=(
        Guard("uses", 0.0, "each file is used e times in one pass"),
        Guard("loss", 1e-5, "same loss from the same weights"),
    ),
    quality=Quality(
        metric=Metric(
            "accuracy_at_same_steps",
            "accuracy at the same steps",
            "1",
            "more",
            "difference",
            margin=0.01,
        ),
        train=train,
        seeds=(0, 1, 2, 3, 4),
        learning_rates=(1e-3, 4e-3),
        tuning_seeds=(100,),
        also=(
            Metric(
                "accuracy_at_same_data",
                "accuracy at the same loaded data",
                "1",
                "more",
                "difference",
                margin=0.01,
            ),
        ),
    ),
    claims=(
        Claim(
            id="up-to-3.25-times-faster",
            statement="Where loading dominates, echoing takes up to 3.25 times less wall time: "
            "with 8 uses, a step takes at most 1/3.25 of the baseline's.",
            arm="before_8",
            metric="step_time_s",
            at_most=1 / 3.25,
            where={"edge": 224},
        ),
        Claim(
            id="as-good-at-same-steps",
            statement="Repeated data is nearly as good as fresh data: after the same steps, 2 uses "
            "cost at most 0.01 of accuracy.",
            arm="before_2",
            metric="accuracy_at_same_steps",
            at_least=-0.01,
        ),
        Claim(
            id="needs-less-fresh-data",
            statement="Echoing needs less fresh data for the same quality: with the same data "
            "loaded, accuracy with 4 uses is no lower.",
            arm="before_4",
            metric="accuracy_at_same_data",
            at_least=0.0,
        ),
        Claim(
            id="like-several-passes",
            statement="Echoing after augmentation is like showing the model the same data several "
            "times: with the same data loaded, accuracy is no lower.",
            arm="after_4",
            metric="accuracy_at_same_data",
            at_least=0.0,
            source=sources.TEN,
        ),
        Claim(
            id="snippet-works",
            statement="The few lines that the source gives repeat each element of a data set.",
            arm="",
            attempt="snippet",
            source=sources.TEN,
        ),
    ),
    attempts=(Attempt("snippet", "the source's own function, through flat_map", snippet),),
)
