"""Spoilt arms: what a guard is there to notice."""

from collections.abc import Callable
from dataclasses import replace

from keras_ab.bench.lab.words.bench_files import load_experiment
from keras_ab.bench.lab.words.declare import Arm


def from_other_weights(arm: Arm) -> Arm:
    """Return the arm, begun from other first weights."""

    def build(case):
        import keras

        keras.utils.set_random_seed(1)
        return arm.build(case)

    return replace(arm, name="spoilt", build=build)


def one_less(parameter: str) -> Callable[[Arm], Arm]:
    """Return what spoils an arm by a parameter of its case that is one too small."""

    def spoil(arm: Arm) -> Arm:
        return replace(
            arm,
            name="spoilt",
            build=lambda case: arm.build({**case, parameter: case[parameter] - 1}),
        )

    return spoil


def on_tensorflow(arm: Arm) -> Arm:
    """Return the arm, begun from other first weights, on the framework that is always there."""
    return from_other_weights(replace(arm, backend="tensorflow"))


def with_a_branch_forgotten(arm: Arm) -> Arm:
    """Return the arm that fuses blocks, with one branch of each left out."""

    def build(case):
        from unittest.mock import patch

        from keras_ab.kernels import asymmetric_convolution

        whole = asymmetric_convolution.fused_weights
        forgetful = patch.object(
            asymmetric_convolution, "fused_weights", lambda branches, eps: whole(branches[:2], eps)
        )
        with forgetful:
            return arm.build(case)

    return replace(arm, name="spoilt", build=build)


SPOILS = {
    "float_dtypes": one_less("batch"),
    "integer_dtypes": one_less("batch"),
    "tf_data_debug": one_less("files"),
    "backends": on_tensorflow,
    "backends_compiled": on_tensorflow,
    "backends_eager": on_tensorflow,
    "acnet_inference": with_a_branch_forgotten,
}
"""How to spoil an arm of an experiment, by the experiment's name; most begin from other weights."""


def with_a_spoilt_arm(file, name):
    """Return an experiment with one arm more: its last, spoilt."""
    experiment = load_experiment(file, name)
    spoil = SPOILS.get(name, from_other_weights)
    guards = tuple(
        replace(guard, arms=(*guard.arms, "spoilt") if guard.arms else ())
        for guard in experiment.guards
    )
    arms = (*experiment.arms, spoil(experiment.arms[-1]))
    return replace(experiment, arms=arms, guards=guards)
