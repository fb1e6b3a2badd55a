"""The fused optimizers in TensorFlow and Keras: eager, graph, jit and fit."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ab import kernels
from keras_ab.kernels.native import adafactor, adam, adaptive_clip, sm3
from keras_ab.kernels.native import cross_entropy as ce
from tests.kernels.native import cases
from tests.kernels.native.tensorflow_forms import forms

if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

pytestmark = pytest.mark.usefixtures("library")

FITS = {
    "fit": {"jit_compile": False},
    "fit-jit": {"jit_compile": True},
    "fit-eager": {"run_eagerly": True},
}
AXES = dict.fromkeys(("conv/kernel", "variable_3"), (0, 1, 2))


@keras.saving.register_keras_serializable("tests")
def is_head(variable: Any) -> bool:
    return "head" in variable.path


OPTIMIZERS = {
    "adam": lambda: adam.Adam(0.01),
    "adam-decay": lambda: adam.Adam(0.01, weight_decay=0.1, clipnorm=1.0),
    "sm3": lambda: sm3.SM3(0.05),
    "sm3-momentum": lambda: sm3.SM3(0.05, momentum=0.9),
    "adafactor": lambda: adafactor.Adafactor(0.01),
    "clip": lambda: adaptive_clip.AdaptiveClip(
        keras.optimizers.SGD(0.5, momentum=0.9), (), axes=AXES
    ),
    "clip-adam": lambda: adaptive_clip.AdaptiveClip(adam.Adam(0.01), is_head, axes=AXES),
}


def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((40, 6, 6, 2)).astype(np.float32), rng.integers(0, 5, 40)


def model() -> Any:
    keras.utils.set_random_seed(5)
    layers = keras.layers
    body = [
        layers.Conv2D(7, 3, name="conv"),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(5, name="head"),
    ]
    return keras.Sequential([keras.Input((6, 6, 2)), *body])


def losses(make: Any, mode: str, fit: dict, rng: np.random.Generator) -> list[float]:
    """Train three epochs of two full batches and a last one of 8."""
    x, y = data(rng)
    with kernels.use(mode):
        trained = model()
        trained.compile(make(), ce.SparseCategoricalCrossentropy(), **fit)
        history = trained.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    return history.history["loss"]


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_native_and_reference_train_alike(make, fit):
    """Not to 1e-6: stock Adam takes 1 - 0.999 in float32, 2e-5 off, and SM3's first step is ±η.

    A gradient that ought to be 0 is rounding noise, and SM3 and Adam take its sign.
    """
    both = [losses(make, mode, fit, np.random.default_rng(1)) for mode in ("native", "reference")]
    np.testing.assert_allclose(*both, rtol=2e-3)
    assert both[0][-1] < both[0][0]


def step_of(optimizer: Any, variables: list) -> Any:
    return lambda gradients: optimizer.apply(gradients, variables)


@forms
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_apply_in_every_form(rng, form, make):
    shapes = [(7,), (), (5, 6), (2, 2, 3, 4), (0, 3)]
    starts = [cases.random(rng, s, np.float32) for s in shapes]
    gradients = [tf.constant(cases.random(rng, s, np.float32)) for s in shapes]
    both = []
    for mode in ("native", "reference"):
        with kernels.use(mode):
            starts = starts[: 4 if mode == "reference" else 5]
            variables = [keras.Variable(w, name=f"variable_{i}") for i, w in enumerate(starts)]
            optimizer = make()
            optimizer.build(variables)
            held = gradients[: len(variables)]
            step = form(step_of(optimizer, variables))
            for _ in range(3):
                step(held)
            both.append([v.numpy() for v in variables])
    for native, plain in zip(both[0][:4], both[1], strict=True):
        np.testing.assert_allclose(native, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("axes", [(0, 1, 3), (1,), (-4, -3, -2), (3, 0)])
def test_axes_of_any_order_and_place_are_one_unit(rng, axes):
    start, gradient = (cases.random(rng, (2, 3, 4, 5), np.float32) for _ in range(2))
    both = []
    for mode in ("native", "reference"):
        with kernels.use(mode):
            variable = keras.Variable(start, name="kernel")
            sgd = keras.optimizers.SGD(0.5)
            clipping = adaptive_clip.AdaptiveClip(sgd, (), axes={"kernel": axes})
            clipping.build([variable])
            clipping.apply([tf.constant(gradient)], [variable])
            both.append(variable.numpy())
    assert not np.allclose(both[0], start - 0.5 * gradient, rtol=1e-4)
    np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
@pytest.mark.parametrize("name", ["adam", "sm3-momentum", "adafactor", "clip-adam"])
def test_low_precision_policies_train(policy, name):
    keras.config.set_dtype_policy(policy)
    try:
        history = losses(OPTIMIZERS[name], "native", {}, np.random.default_rng(1))
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(history).all()
    assert history[-1] < history[0]


# Keras 3.15.1 writes a model through NumPy 2's deprecated conversion of a TensorFlow tensor.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_saved_model_goes_on_as_it_was(tmp_path, name):
    x, y = data(np.random.default_rng(1))
    first = model()
    first.compile(OPTIMIZERS[name](), ce.SparseCategoricalCrossentropy())
    first.fit(x, y, epochs=1, verbose=0)
    first.save(tmp_path / "model.keras")
    second = keras.saving.load_model(tmp_path / "model.keras")
    assert second.optimizer.get_config() == first.optimizer.get_config()
    both = [
        m.fit(x, y, epochs=1, shuffle=False, verbose=0).history["loss"] for m in (first, second)
    ]
    assert both[0] == both[1]


@pytest.mark.parametrize(
    ("make", "most"), [(adafactor.Adafactor, 0.01), (sm3.SM3, 0.005)], ids=["adafactor", "sm3"]
)
def test_the_state_is_sublinear(make, most):
    optimizer, variables = make(), [keras.Variable(np.zeros((1024, 1024), np.float32))]
    optimizer.build(variables)
    state = sum(int(np.prod(v.shape)) for v in optimizer.variables)
    assert state <= most * 1024**2


def test_a_zero_row_and_column_give_finite_weights(rng):
    gradient = cases.random(rng, (6, 5), np.float32)
    gradient[2] = gradient[:, 3] = 0
    for mode in ("native", "reference"):
        with kernels.use(mode):
            variable, optimizer = keras.Variable(np.ones((6, 5), np.float32)), adafactor.Adafactor()
            optimizer.apply([tf.constant(gradient)], [variable])
            assert np.isfinite(variable.numpy()).all()


def test_an_embeddings_gradient_is_taken_whole():
    variable, optimizer = keras.Variable(np.ones((5, 2), np.float32)), adam.Adam(0.1)
    rows = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 3]), tf.constant([5, 2]))
    optimizer.apply([rows], [variable])
    np.testing.assert_allclose(variable.numpy()[:, 0], [1, 0.9, 1, 0.9, 1], rtol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: adam.Adam(amsgrad=True),
        lambda: sm3.SM3(momentum=1.0),
        lambda: adaptive_clip.AdaptiveClip(keras.optimizers.SGD(), (), clipping=0.0),
        lambda: adaptive_clip.AdaptiveClip(keras.optimizers.SGD(), (), epsilon=-1.0),
        lambda: adaptive_clip.AdaptiveClip(keras.optimizers.SGD(lambda: 0.1), ()),
        lambda: sm3.SM3().build([keras.Variable(np.zeros((1,) * 9, np.float32))]),
    ],
)
def test_bad_hyperparameters(make):
    with pytest.raises(ValueError, match=r"(; got|Received:) "):
        make()


def test_a_float64_variable_is_refused():
    variable = keras.Variable(np.ones(3), dtype="float64")
    with pytest.raises(TypeError, match="got float64"):
        adam.Adam().apply([tf.ones(3, tf.float64)], [variable])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_plain_form_of_adam_computes_in_float32(dtype):
    w = []
    for mode in ("native", "reference"):
        with kernels.use(mode):
            variable, optimizer = keras.Variable(np.ones(3), dtype=dtype), adam.Adam(0.1)
            for _ in range(3):
                optimizer.apply([tf.ones(3, dtype)], [variable])
            w.append(np.asarray(keras.ops.cast(variable, "float32")))
    np.testing.assert_array_equal(*w)
    assert (w[0] < 1).all()
