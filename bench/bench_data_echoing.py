"""Does using each loaded element several times make training faster, and is less learnt?"""

from typing import Any

from keras_ab import (
    Attempt,
    Claim,
    Experiment,
    Guard,
    Metric,
    Params,
    Quality,
    Source,
    arm,
    grid,
    metrics,
    sources,
)
from keras_ab.bench.workloads.echoing import BUDGET, LONGEST, TARGET, Echo, choose, prepare, train

CHOI = Source(
    author="D. Choi, A. Passos, C. J. Shallue, G. E. Dahl",
    title="Faster Neural Network Training with Data Echoing",
    year=2019,
    url="https://arxiv.org/abs/1907.05550",
)

DOMINANT = 4.0
"""How many times as long as the other the part takes that dominates, loading or training."""


def modelled(ratio: float, factor: int) -> float:
    """Return the time of a step with echoing over that without, by the paper's model.

        (L / e + T) / (L + T) = (ratio / e + 1) / (ratio + 1)

    Args:
        ratio: L / T, the time to load a batch over that to train on it.
        factor: e.

    Source: Choi et al., 2019, https://arxiv.org/abs/1907.05550, section 3.1; there the two overlap,
    here they follow each other.
    """
    return (ratio / factor + 1) / (ratio + 1)


def _learnt(name: str, title: str) -> Metric:
    return Metric(name, title, "1", "more", "difference", margin=0.01)


def snippet() -> str | None:
    """Repeat each element of a data set with the source's own function."""
    import tensorflow as tf

    def data_echoing(factor: int) -> Any:
        return lambda image, label: tf.data.Dataset.from_tensors((image, label)).repeat(factor)

    pairs = tf.data.Dataset.from_tensor_slices(([1, 2], [3, 4])).flat_map(data_echoing(2))
    found = [tuple(map(int, pair)) for pair in pairs]
    return None if found == [(1, 3), (1, 3), (2, 4), (2, 4)] else f"yields {found}"


ECHOING = ("once", "before_2", "before_4", "before_8", "after_4")
"""The arms that do all the work; the other two do a part of it."""

LOADING_DOMINATES: Params = {"edge": 448}
TRAINING_DOMINATES: Params = {"edge": 28}

EXPERIMENT = Experiment(
    name="data_echoing",
    question="Does using each loaded image e times save time, and is less learnt?",
    method=(
        "A classifier is trained on digits that are read from files, decoded, augmented and "
        "batched. The baseline uses each decoded image once; the other arms use it e times, each "
        "time augmented anew, or once augmented for all e. Timed is a training step with the "
        "loading of its batch; nothing is loaded ahead, so that no arm works while another is "
        "timed. Two more arms do a part of it: what comes before the echo, and what comes after; "
        "the ratio of their times is the paper's, and with it its model, (L / e + T) / (L + T), "
        "bounds what an arm can save. What is learnt is the accuracy on digits kept apart, after "
        f"the same {BUDGET} steps and after the same number of images loaded (e times the steps), "
        f"and how many steps and loaded images it takes to an accuracy of {TARGET:g}, where one "
        "that is not reached counts as reached after twice the longest training on fresh data "
        f"(PAR2); and after each of the same images was used {LONGEST} times, by the echo or in "
        "passes. It is paired by seed; each arm's learning rate is the best of three by three "
        "other seeds and other digits."
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
        arm("upstream", prepare, Echo(part="upstream"), "reading and decoding alone"),
        arm("downstream", prepare, Echo(part="downstream"), "all that follows, from memory"),
        arm(
            "after_4",
            prepare,
            Echo(4, "after_augmentation"),
            "4 times, after augmentation",
        ),
    ),
    cases=(
        *grid(edge=(448,), encoding=("png",), files=(128,), batch=(32,), width=(128,)),
        *grid(
            quick=False,
            gpu=False,
            edge=(28,),
            encoding=("png",),
            files=(512,),
            batch=(32,),
            width=(2048,),
        ),
        *grid(
            quick=False,
            edge=(448,),
            encoding=("jpeg",),
            files=(3500,),
            batch=(64,),
            width=(512,),
        ),
        *grid(
            quick=False,
            gpu=False,
            edge=(672,),
            encoding=("jpeg",),
            files=(3500,),
            batch=(64,),
            width=(512,),
        ),
    ),
    guards=(
        Guard("uses", 0.0, "each file is used e times in one pass", arms=ECHOING),
        Guard("loss", 1e-5, "same loss from the same weights", arms=(*ECHOING, "downstream")),
        Guard("decoded", 0.0, "the same decoded images"),
    ),
    quality=Quality(
        metric=_learnt("accuracy_at_same_steps", "accuracy at the same steps"),
        train=train,
        seeds=(0, 1, 2, 3, 4),
        learning_rates=(1e-3, 2e-3, 4e-3),
        tuning_seeds=(100, 101, 102),
        tune=choose,
        also=(
            _learnt("accuracy_at_same_data", "accuracy at the same loaded data"),
            _learnt(
                "accuracy_at_same_uses", f"accuracy after {LONGEST} uses of each of the same images"
            ),
            Metric("steps_to_target", f"steps to accuracy {TARGET:g}", "1", margin=0.05),
            metrics.TARGET_REACHED,
            Metric("loaded_to_target", f"images loaded to accuracy {TARGET:g}", "1", margin=0.05),
        ),
        arms=("once", "before_2", "before_4", "after_4"),
    ),
    claims=(
        Claim(
            id="loading-dominates",
            statement="Where reading and decoding dominate, they take at least "
            f"{DOMINANT:g} times as long as all that follows: what the other claims on time "
            "presuppose.",
            arm="upstream",
            metric="step_time_s",
            at_least=DOMINANT,
            against="downstream",
            where=LOADING_DOMINATES,
        ),
        Claim(
            id="up-to-3.25-times-faster",
            statement="Where loading dominates, a step with 8 uses takes at most 1/3.25 of the "
            "baseline's: as much as a whole training gained where it read over a network.",
            arm="before_8",
            metric="step_time_s",
            at_most=1 / 3.25,
            where=LOADING_DOMINATES,
        ),
        Claim(
            id="as-modelled",
            statement="Echoing saves what its model says: with loading at least "
            f"{DOMINANT:g} times as long as training, 8 uses take at most "
            f"{modelled(DOMINANT, 8):.3g} of the time.",
            arm="before_8",
            metric="step_time_s",
            at_most=modelled(DOMINANT, 8),
            where=LOADING_DOMINATES,
        ),
        Claim(
            id="training-dominates",
            statement="Where training dominates, reading and decoding take at most "
            f"1/{DOMINANT:g} of the time of all that follows: what the next claim presupposes.",
            arm="upstream",
            metric="step_time_s",
            at_most=1 / DOMINANT,
            against="downstream",
            where=TRAINING_DOMINATES,
        ),
        Claim(
            id="little-to-gain",
            statement="Where training dominates there is little to gain: even with 8 uses, a step "
            f"takes at least {modelled(1 / DOMINANT, 8):.3g} of the baseline's, as the model "
            "says.",
            arm="before_8",
            metric="step_time_s",
            at_least=modelled(1 / DOMINANT, 8),
            where=TRAINING_DOMINATES,
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
            statement="Echoing needs less fresh data for the same quality: with 4 uses, fewer "
            f"images are loaded until the accuracy is {TARGET:g}.",
            arm="before_4",
            metric="loaded_to_target",
            at_most=1.0,
        ),
        Claim(
            id="sooner-at-the-target",
            statement="Echoing trains faster: where loading dominates, 4 uses come to an accuracy "
            f"of {TARGET:g} in less time, whatever the steps it takes.",
            arm="before_4",
            metric="time_to_target_s",
            at_most=1.0,
            where=LOADING_DOMINATES,
        ),
        Claim(
            id="like-several-passes",
            statement="Echoing after augmentation is like showing the model the same data several "
            f"times: {LONGEST} uses of each image cost at most 0.01 of the accuracy that as many "
            "passes over the same images reach.",
            arm="after_4",
            metric="accuracy_at_same_uses",
            at_least=-0.01,
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
