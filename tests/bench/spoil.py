"""Spoilt arms: what a guard is there to notice."""

from collections.abc import Callable, Iterator
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


def fit_for_a_gpu(arm: Arm) -> Arm:
    """Return the arm, whose observation fails where a step compiled by XLA reads an int32 variable.

    TensorFlow keeps those on the host: a GPU has no kernel for their handle.
    """

    def build(case):
        prepared = arm.build(case)

        def observe():
            found = prepared.observe()
            if read := list(host_variables()):
                raise AssertionError(f"steps under XLA read int32 variables: {read}")
            return found

        return replace(prepared, observe=observe) if prepared.observe else prepared

    return replace(arm, build=build)


def host_variables() -> Iterator[str]:
    """Yield what functions that XLA compiles in this process read of int32 variables."""
    import gc

    import tensorflow as tf

    of_functions = type(tf.function(lambda: None))
    for function in (each for each in gc.get_objects() if isinstance(each, of_functions)):
        for traced in function._list_all_concrete_functions() if function._jit_compile else ():
            for handle in traced.captured_inputs:
                if handle.dtype == tf.resource and _type_behind(handle) == tf.int32:
                    yield f"{traced.name}: {handle}"


def _type_behind(handle):
    data = getattr(handle, "_handle_data", None)
    found = data.shape_and_type if data is not None and data.is_set else ()
    return found[0].dtype if found else None


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
    experiment = replace(experiment, arms=tuple(map(fit_for_a_gpu, experiment.arms)))
    spoil = SPOILS.get(name, from_other_weights)
    guards = tuple(
        replace(guard, arms=(*guard.arms, "spoilt") if guard.arms else ())
        for guard in experiment.guards
    )
    arms = (*experiment.arms, spoil(experiment.arms[-1]))
    return replace(experiment, arms=arms, guards=guards)
