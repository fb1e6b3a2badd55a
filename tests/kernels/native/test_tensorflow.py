"""The kernels in TensorFlow and Keras: eager, graph, jit and fit, with gradients."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
from kernels.native import adafactor, adam, adaptive_clip, register, sm3, stablehlo
from kernels.native import batch_statistics as bs
from kernels.native import cross_entropy as ce
from kernels.native import standardize as ws
from kernels.native.call import Request, call
from tests.kernels.native import c_interface as c
from tests.kernels.native import cases

if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

FORMS = {
    "eager": lambda f: f,
    "function": lambda f: tf.function(f),
    "jit": lambda f: tf.function(f, jit_compile=True),
}
FITS = {
    "fit": {"jit_compile": False},
    "fit-jit": {"jit_compile": True},
    "fit-eager": {"run_eagerly": True},
}
OPTIMIZERS = {
    "adam": lambda: adam.Adam(0.01),
    "adam-decay": lambda: adam.Adam(0.01, weight_decay=0.1, clipnorm=1.0),
    "sm3": lambda: sm3.SM3(0.05),
    "sm3-momentum": lambda: sm3.SM3(0.05, momentum=0.9),
    "adafactor": lambda: adafactor.Adafactor(0.01),
    "clip": lambda: adaptive_clip.AdaptiveClip(keras.optimizers.SGD(0.5, momentum=0.9)),
    "clip-adam": lambda: adaptive_clip.AdaptiveClip(adam.Adam(0.01), exclude=("head",)),
}

forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
dtypes = pytest.mark.parametrize("dtype", c.DTYPES)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def tensor(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tf.Tensor:
    return tf.constant(cases.random(rng, shape, c.DTYPES[dtype]))


def value_and_gradient(function: Any, *inputs: Any, upstream: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = function(*inputs)
    return outputs, tape.gradient(outputs, inputs, output_gradients=upstream)


def test_tensorflow_has_what_is_not_documented():
    """The smoke test of the pin: XlaCallModule and GetXlaFfiApi."""
    register.with_tensorflow()


@forms
@dtypes
def test_cross_entropy(rng, form, dtype):
    x, up = tensor(rng, (5, 33), dtype), tensor(rng, (5,), "float32")
    labels = np.array([0, 32, 7, 7, 1], np.uint16)
    run = form(
        lambda x: value_and_gradient(lambda x: ce.sparse_cross_entropy(labels, x), x, upstream=up)
    )
    loss, (d,) = run(x)
    cases.near(loss.numpy(), ce.reference(labels, x.numpy()))
    cases.near(d.numpy(), ce.reference_gradient(labels, x.numpy(), up.numpy()))


@forms
@dtypes
def test_standardize(rng, form, dtype):
    w, gain = tensor(rng, (3, 3, 4, 6), dtype), tensor(rng, (6,), "float32")
    up = tensor(rng, (3, 3, 4, 6), dtype)
    y, (d, d_gain) = form(lambda *a: value_and_gradient(ws.standardize, *a, upstream=up))(w, gain)
    arrays = w.numpy(), gain.numpy(), up.numpy()
    cases.near(y.numpy(), ws.reference(*arrays[:2]))
    expected = ws.reference_gradient(*arrays)
    cases.near(d.numpy(), expected[0])
    cases.near(d_gain.numpy(), expected[1])


@forms
@dtypes
def test_batch_statistics(rng, form, dtype):
    x, up = tensor(rng, (4, 3, 3, 5), dtype), [tensor(rng, (5,), "float32"), tf.constant(0.3)]
    run = form(lambda x: value_and_gradient(bs.batch_statistics, x, upstream=up))
    (mean, variance), (d,) = run(x)
    expected = bs.reference(x.numpy())
    cases.near(mean.numpy(), expected[0])
    cases.near(variance.numpy(), expected[1])
    cases.near(d.numpy(), bs.reference_gradient(x.numpy(), up[0].numpy(), 0.3))


@pytest.mark.parametrize("jit", [False, True])
def test_a_batch_of_any_size(rng, jit):
    """One trace serves the last, smaller batch."""
    traces = []

    def both(labels: Any, x: Any) -> Any:
        traces.append(1)
        d = value_and_gradient(lambda x: ce.sparse_cross_entropy(labels, x), x, upstream=None)
        return d, value_and_gradient(bs.batch_statistics, x, upstream=None)

    signature = [tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, 9), tf.float32)]
    function = tf.function(both, jit_compile=jit, input_signature=signature)
    for size in (8, 3):
        x, labels = tensor(rng, (size, 9), "float32"), np.arange(size, dtype=np.int32)
        (loss, (d,)), ((mean, _), (d_x,)) = function(labels, x)
        assert d.shape == d_x.shape == (size, 9)
        cases.near(loss.numpy(), ce.reference(labels, x.numpy()))
        cases.near(d.numpy(), ce.reference_gradient(labels, x.numpy(), np.ones(size)))
        cases.near(mean.numpy(), bs.reference(x.numpy())[0])
        cases.near(d_x.numpy(), bs.reference_gradient(x.numpy(), np.ones(9), 1.0))
    assert len(traces) <= 2


@forms
def test_the_reference_form_agrees(rng, form):
    x, w, labels = tensor(rng, (6, 9), "float32"), tensor(rng, (5, 6), "float32"), np.arange(6)
    gain = tf.ones(6)
    for function, inputs in (
        (lambda x: ce.sparse_cross_entropy(labels, x), (x,)),
        (ws.standardize, (w, gain)),
        (bs.batch_statistics, (x,)),
    ):
        both = []
        for mode in ("native", "reference"):
            with kernels.use(mode):
                run = form(lambda *a, f=function: value_and_gradient(f, *a, upstream=None))
                both.append(tf.nest.flatten(run(*inputs)))
        for native, plain in zip(*both, strict=True):
            np.testing.assert_allclose(native, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("label", [-1, 9])
def test_a_label_out_of_range_raises(rng, label):
    x = tensor(rng, (2, 9), "float32")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"labels must be in \[0, 9\), row 1"):
        ce.sparse_cross_entropy(np.array([0, label]), x)


@pytest.mark.parametrize(
    ("function", "shapes", "dtypes", "error", "message"),
    [
        (ce.sparse_cross_entropy, [(2, 1), (2, 3)], ["int32", "float32"], ValueError, "reshape"),
        (ce.sparse_cross_entropy, [(2,), (3,)], ["int32", "float32"], ValueError, "reshape"),
        (ce.sparse_cross_entropy, [(2,), (3, 4)], ["int32", "float32"], ValueError, "one batch"),
        (ce.sparse_cross_entropy, [(2,), (2, 4)], ["float32", "float32"], TypeError, "cast"),
        (ce.sparse_cross_entropy, [(2,), (2, 4)], ["int32", "float64"], TypeError, "cast"),
        (ws.standardize, [(3,), (3,)], ["float32", "float32"], ValueError, "one gain"),
        (ws.standardize, [(3, 4), (3,)], ["float32", "float32"], ValueError, "one gain"),
        (ws.standardize, [(3, 4), (4,)], ["int32", "float32"], TypeError, "cast"),
        (bs.batch_statistics, [(3,)], ["float32"], ValueError, "batch axis"),
        (bs.batch_statistics, [(3, 4)], ["float64"], TypeError, "cast"),
    ],
)
def test_bad_input_is_refused_before_the_graph(function, shapes, dtypes, error, message):
    inputs = [tf.zeros(s, d) for s, d in zip(shapes, dtypes, strict=True)]
    with pytest.raises(error, match=f"; got .*; .*{message}"):
        function(*inputs)


def test_the_kernel_refuses_what_python_would_have(rng):
    register.with_tensorflow()
    x = tf.zeros((2, 3))
    number = stablehlo.Tensor((2,), "float32")
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels must be int32 or int64"):
        call(Request("kab_cross_entropy_forward", [x, x], [number] * 3))
    with pytest.raises(tf.errors.InvalidArgumentError, match="too few results"):
        call(Request("kab_batch_statistics_forward", [x, x], [stablehlo.Tensor((3,), "float32")]))


def test_an_empty_batch(rng):
    loss = ce.sparse_cross_entropy(np.zeros(0, np.int32), tf.zeros((0, 4)))
    assert loss.shape == (0,)
    mean, variance = bs.batch_statistics(tf.zeros((0, 4)))
    assert np.isnan(mean).all()
    assert np.isnan(variance)


def test_a_missing_kernel_keeps_its_name_in_a_graph(rng, monkeypatch):
    def refuse(backend: str) -> None:
        raise kernels.NotAvailable.because("A compiler must be there", "none", "Install g++.")

    monkeypatch.setattr(register, "with_backend", refuse)
    labels, x = np.zeros(2, np.int32), tf.zeros((2, 3))
    with pytest.raises(kernels.NotAvailable):
        tf.function(lambda x: ce.sparse_cross_entropy(labels, x))(x)


def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((40, 6, 6, 2)).astype(np.float32), rng.integers(0, 5, 40)


def model() -> Any:
    keras.utils.set_random_seed(5)
    layers = keras.layers
    body = [layers.Conv2D(7, 3), layers.ReLU(), layers.Flatten(), layers.Dense(5, name="head")]
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
            variables = [keras.Variable(w) for w in starts[: 4 if mode == "reference" else 5]]
            optimizer = make()
            optimizer.build(variables)
            held = gradients[: len(variables)]
            step = form(step_of(optimizer, variables))
            for _ in range(3):
                step(held)
            both.append([v.numpy() for v in variables])
    for native, plain in zip(both[0][:4], both[1], strict=True):
        np.testing.assert_allclose(native, plain, rtol=1e-4, atol=1e-6)


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
        lambda: adaptive_clip.AdaptiveClip("sgd", clipping=0.0),
        lambda: adaptive_clip.AdaptiveClip("sgd", epsilon=-1.0),
        lambda: sm3.SM3().build([keras.Variable(np.zeros((1,) * 9, np.float32))]),
    ],
)
def test_bad_hyperparameters(make):
    with pytest.raises(ValueError, match=r"; got .*; "):
        make()


def test_a_float64_variable_is_refused():
    variable = keras.Variable(np.ones(3), dtype="float64")
    with pytest.raises(TypeError, match="got float64"):
        adam.Adam().apply([tf.ones(3, tf.float64)], [variable])
