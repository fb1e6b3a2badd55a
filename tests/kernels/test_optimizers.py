"""One battery over every optimizer: ways to run a step, saving, and hard gradients."""

import keras
import numpy as np
import pytest

from keras_ab.kernels.adafactor import Adafactor
from keras_ab.kernels.adaptive_gradient_clipping import AdaptiveGradientClipping
from keras_ab.kernels.cyclical_learning_rate import CyclicalLearningRate
from keras_ab.kernels.sm3 import SM3

tf = pytest.importorskip("tensorflow")

OPTIMIZERS = {
    "sm3_i": lambda: SM3(0.1, variant="I"),
    "sm3_ii": lambda: SM3(0.1),
    "sm3_ii_momentum": lambda: SM3(0.1, momentum=0.9),
    "sm3_ii_cyclical": lambda: SM3(CyclicalLearningRate(0.01, 0.1, 2)),
    "adafactor": lambda: Adafactor(0.1),
    "adafactor_momentum": lambda: Adafactor(0.1, beta_1=0.9),
    "adafactor_absolute": lambda: Adafactor(0.1, relative_step=False, scale_parameter=False),
    "clipped_sgd": lambda: AdaptiveGradientClipping(keras.optimizers.SGD(0.1), ["head"]),
    "clipped_sm3": lambda: AdaptiveGradientClipping(SM3(0.1), ()),
    "clipped_adam_accumulated": lambda: AdaptiveGradientClipping(
        # In bfloat16 Keras's own Adam rounds its usual 0.999 to 1, and stands still.
        keras.optimizers.Adam(0.1, beta_2=0.9),
        (),
        gradient_accumulation_steps=2,
    ),
}


@pytest.fixture(params=OPTIMIZERS.values(), ids=OPTIMIZERS)
def build(request):
    return request.param


def _model():
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(4, activation="tanh"),
        keras.layers.Dense(1, name="head"),
    ]
    return keras.Sequential([keras.layers.Input((6,)), *layers])


def _data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(8, 6)).astype("float32"), rng.normal(size=(8, 1)).astype("float32")


def _fit(build, **how):
    model = _model()
    model.compile(build(), "mse", **how)
    return model.fit(*_data(), epochs=4, shuffle=False, verbose=0).history["loss"]


def _own_loop(build):
    model, optimizer = _model(), build()
    optimizer.build(model.trainable_variables)
    x, y = _data()

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        optimizer.apply(gradients, variables)
        return loss

    return [float(step()) for _ in range(4)]


def test_every_way_to_run_a_step_gives_the_same_losses(build):
    expected = _fit(build, run_eagerly=True)
    assert np.isfinite(expected).all()
    assert expected[-1] < expected[0]
    for losses in (
        _fit(build, jit_compile=False),
        _fit(build, jit_compile=True),
        _own_loop(build),
    ):
        np.testing.assert_allclose(losses, expected, rtol=2e-5)


def test_training_goes_on_after_saving(build, tmp_path):
    model = _model()
    model.compile(build(), "mse", jit_compile=False)
    model.fit(*_data(), epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    assert restored.optimizer.get_config() == model.optimizer.get_config()
    for ours, theirs in zip(restored.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    losses = [m.fit(*_data(), epochs=2, verbose=0).history["loss"] for m in (model, restored)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)


def test_the_configuration_survives_a_round_trip(build):
    optimizer = build()
    restored = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(restored) is type(optimizer)
    assert restored.get_config() == optimizer.get_config()


def _apply(build, *gradients, jit=False, dtype="float32"):
    """Return a 3×4 weight of ones after two steps along each gradient."""
    variable = keras.Variable(np.ones((3, 4)), dtype=dtype, name="head")
    optimizer = build()
    optimizer.build([variable])

    @tf.function(jit_compile=jit)
    def step(gradient):
        optimizer.apply([gradient], [variable])

    for gradient in gradients:
        step(tf.constant(gradient, dtype))
        step(tf.constant(gradient, dtype))
    return np.asarray(keras.ops.cast(variable, "float64"))


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "jit"])
def test_zero_gradients_change_nothing(build, jit):
    np.testing.assert_array_equal(_apply(build, np.zeros((3, 4)), jit=jit), 1.0)


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "jit"])
def test_zero_rows_and_columns_stay_and_the_rest_moves(build, jit):
    gradient = np.ones((3, 4))
    gradient[1], gradient[:, 2] = 0.0, 0.0
    moved = _apply(build, gradient, jit=jit) != 1.0
    np.testing.assert_array_equal(moved, gradient != 0.0)


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "jit"])
def test_tiny_and_huge_gradients_leave_finite_weights(build, jit):
    gradients = [np.full((3, 4), size) for size in (1e-45, 1e-40, 1e-23, 1e-15, 1e15)]
    assert np.isfinite(_apply(build, *gradients, jit=jit)).all()


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "jit"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_not_swallowed(build, bad, jit):
    gradient = np.ones((3, 4))
    gradient[1, 2] = bad
    assert not np.isfinite(_apply(build, gradient, jit=jit)[1, 2])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_weights_of_every_dtype_train(build, dtype):
    weight = _apply(build, np.ones((3, 4)), dtype=dtype)
    assert np.isfinite(weight).all()
    assert (weight < 1.0).all()


def test_a_weight_without_elements_is_left_alone(build):
    variables = [keras.Variable(np.ones(n), dtype="float32", name="head") for n in ((0, 4), 2)]
    optimizer = build()
    optimizer.build(variables)
    for _ in range(2):
        optimizer.apply([tf.ones((0, 4)), tf.ones(2)], variables)
    assert (np.asarray(variables[1]) < 1.0).all()


def test_float16_with_loss_scaling_trains(build):
    model = _model()
    model.compile(keras.optimizers.LossScaleOptimizer(build(), 128.0), "mse", jit_compile=False)
    expected = _fit(build, jit_compile=False)
    losses = model.fit(*_data(), epochs=4, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
