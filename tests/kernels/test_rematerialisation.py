"""Rematerialised chains train exactly as plain ones do, and recompute each segment once."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_ab.kernels.rematerialisation import RematerialisedChain, segmented

MODES = {
    "eager": {"run_eagerly": True},
    "graph": {"jit_compile": False},
    "jit": {"jit_compile": True},
}


def _layers(width=6):
    """Two of each: a dense layer, a normalisation with statistics, a mask."""
    return [
        layer
        for i in range(2)
        for layer in (
            keras.layers.Dense(width, activation="tanh", name=f"dense_{i}"),
            keras.layers.BatchNormalization(momentum=0.5, name=f"norm_{i}"),
            keras.layers.Dropout(0.5, seed=i, name=f"mask_{i}"),
        )
    ]


def _model(chain, policy=None):
    inputs = keras.Input((6,))
    with_policy = {"dtype": policy} if policy else {}
    return keras.Model(inputs, keras.layers.Dense(1, **with_policy, name="head")(chain(inputs)))


def _plain(inputs):
    for layer in _layers():
        inputs = layer(inputs)
    return inputs


def _variables(model):
    """Return weights by their layer's name and their own, and seeds by their order."""
    seeds = [v for v in model.variables if "seed_generator" in v.path]
    weights = {"/".join(v.path.split("/")[-2:]): v for v in model.weights}
    return weights | {f"seed_{i}": v for i, v in enumerate(seeds)}


def _copy(source, target):
    values = _variables(source)
    for name, variable in _variables(target).items():
        variable.assign(values[name])


def _data(n=8):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 6)).astype("float32"), rng.normal(size=(n, 1)).astype("float32")


@pytest.mark.parametrize("segments", [None, 1, 6])
@pytest.mark.parametrize("mode", MODES)
def test_trains_as_the_plain_chain_does(mode, segments):
    """Same losses, weights, moving statistics and seeds, so also the same Dropout masks."""
    keras.utils.set_random_seed(0)
    plain, remat = _model(_plain), _model(RematerialisedChain(_layers(), segments))
    _copy(plain, remat)
    losses = []
    for model in (plain, remat):
        model.compile(keras.optimizers.SGD(0.1), "mse", **MODES[mode])
        losses.append(model.fit(*_data(), batch_size=4, epochs=2, shuffle=False, verbose=0))
    np.testing.assert_allclose(losses[1].history["loss"], losses[0].history["loss"], rtol=1e-5)
    expected = _variables(plain)
    for name, variable in _variables(remat).items():
        np.testing.assert_allclose(variable, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_infers_and_saves_as_the_plain_chain_does(tmp_path):
    plain, remat = _model(_plain), _model(RematerialisedChain(_layers(), 2))
    _copy(plain, remat)
    x, _ = _data()
    np.testing.assert_allclose(remat(x), plain(x), rtol=1e-6)
    remat.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(x), remat(x))
    assert [len(part.layers) for part in restored.layers[1].parts] == [3, 3]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_gives_float32_gradients_to_the_weights(policy):
    tf = pytest.importorskip("tensorflow")
    layers = [keras.layers.Dense(6, dtype=policy), keras.layers.Dense(6, dtype=policy)]
    chain = RematerialisedChain(layers, dtype=policy)
    x, _ = _data()
    gradients = []
    chain.build(x.shape)
    for training in (True, False):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.cast(chain(x, training=training), "float32"))
        gradients.append(tape.gradient(loss, [v.value for v in chain.trainable_variables]))
    for ours, plain in zip(*gradients, strict=True):
        assert ours.dtype == tf.float32
        np.testing.assert_allclose(ours, plain, rtol=1e-2, atol=1e-4)


def test_integer_inputs_reach_an_embedding():
    layers = [keras.layers.Embedding(5, 4), keras.layers.Dense(4), keras.layers.Flatten()]
    model = keras.Sequential([keras.layers.Input((3,), dtype="int32"), RematerialisedChain(layers)])
    model.compile("sgd", "mse")
    before = model.layers[0].chain[0].embeddings.numpy()
    model.fit(np.ones((2, 3), "int32"), np.ones((2, 12)), verbose=0)
    moved = np.any(before != model.layers[0].chain[0].embeddings.numpy(), axis=1)
    np.testing.assert_array_equal(moved, np.arange(5) == 1)


def _counting_layer():
    tf = pytest.importorskip("tensorflow")

    class Counting(keras.layers.Layer):
        runs = 0

        def call(self, inputs):
            def count(x):
                Counting.runs += 1
                return x

            counted = tf.numpy_function(count, [inputs], inputs.dtype, stateful=True)
            return inputs + tf.stop_gradient(tf.reshape(counted, tf.shape(inputs)) - inputs)

    return Counting


@pytest.mark.parametrize("eagerly", [True, False])
def test_each_layer_runs_twice_in_a_step_and_once_in_inference(eagerly):
    counting = _counting_layer()
    layers = [keras.layers.Dense(6), counting(), keras.layers.Dense(6)]
    model = keras.Sequential([keras.layers.Input((6,)), RematerialisedChain(layers, 1)])
    model.compile("sgd", "mse", run_eagerly=eagerly, jit_compile=False)
    x, _ = _data()
    model.train_on_batch(x, x)
    assert counting.runs == 2
    model.predict_on_batch(x)
    assert counting.runs == 3


def test_xla_keeps_the_recomputation():
    """The compiled step must still hold each product twice: sharing them would undo it all."""
    tf = pytest.importorskip("tensorflow")
    depth = 9
    chain = RematerialisedChain([keras.layers.Dense(6, "tanh") for _ in range(depth)])
    x, _ = _data()
    chain.build(x.shape)
    weights = [v.value for v in chain.trainable_variables]

    @tf.function(jit_compile=True)
    def gradients(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(chain(x, training=True)))
        return tape.gradient(loss, weights)

    compiled = gradients.experimental_get_compiler_ir(tf.constant(x))(stage="optimized_hlo")
    assert compiled.count(" tanh(") >= 2 * depth


@given(n=st.integers(1, 200), data=st.data())
def test_segments_keep_the_order_and_are_even(n, data):
    k = data.draw(st.none() | st.integers(1, n))
    parts = segmented(range(n), k)
    assert [layer for part in parts for layer in part] == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert len(parts) == (int(np.ceil(np.sqrt(n))) if k is None else k)


@pytest.mark.parametrize(
    ("layers", "segments"),
    [
        ([], None),
        ([keras.layers.ReLU()], 2),
        ([keras.layers.ReLU()], 0),
    ],
)
def test_bad_arguments_are_refused_when_declared(layers, segments):
    with pytest.raises(ValueError, match=r"must .* Received: .* (Pass|Leave|Remove) "):
        RematerialisedChain(layers, segments)


def _nested():
    """A model with a loss for its activations, and a layer that adds one."""

    class Penalised(keras.layers.Layer):
        def call(self, inputs):
            self.add_loss(keras.ops.mean(keras.ops.square(inputs)))
            return inputs

    inputs = keras.Input((6,))
    x = keras.layers.Dense(6, "tanh", activity_regularizer="l2", kernel_regularizer="l2")(inputs)
    return keras.Model(inputs, Penalised()(x))


@pytest.mark.parametrize("mode", MODES)
def test_losses_that_layers_add_are_in_the_loss_and_its_gradient(mode):
    histories, weights = [], []
    for rematerialised in (False, True):
        keras.utils.set_random_seed(0)
        layers = [_nested(), keras.layers.Dense(6)]
        body = [RematerialisedChain(layers, 1)] if rematerialised else layers
        model = keras.Sequential([keras.Input((6,)), *body])
        model.compile(keras.optimizers.SGD(0.1), "mse", **MODES[mode])
        x, _ = _data()
        fit = model.fit(x, x, batch_size=4, epochs=2, shuffle=False, verbose=0)
        histories.append(fit.history["loss"])
        weights.append(model.get_weights())
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-5)
    for ours, plain in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("segments", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_masks_reach_the_layers_behind_a_border(mode, segments):
    tokens = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [1, 1, 2, 0]])
    histories = []
    for rematerialised in (False, True):
        keras.utils.set_random_seed(0)
        layers = [
            keras.layers.Embedding(5, 4, mask_zero=True),
            keras.layers.Dropout(0.0),
            keras.layers.SimpleRNN(3, return_sequences=True),
        ]
        body = [RematerialisedChain(layers, segments)] if rematerialised else layers
        model = keras.Sequential([keras.Input((4,), dtype="int32"), *body, keras.layers.Dense(5)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.5), loss, **MODES[mode])
        fit = model.fit(tokens, tokens, epochs=3, shuffle=False, verbose=0)
        histories.append(fit.history["loss"])
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_rounds_no_weight_that_a_plain_chain_would_not(policy):
    """Frozen weights stay, and a float32 layer in a mixed chain computes in float32."""
    losses, frozen = [], []
    for rematerialised in (False, True):
        keras.utils.set_random_seed(0)
        layers = [
            keras.layers.Dense(6, "tanh", dtype=policy, trainable=False, name="frozen"),
            keras.layers.Dense(6, "tanh", dtype="float32"),
            keras.layers.Dense(6, dtype=policy),
        ]
        chain = [RematerialisedChain(layers, 2, dtype=policy)] if rematerialised else layers
        model = keras.Sequential([keras.Input((6,)), *chain, keras.layers.Activation("linear")])
        before = layers[0].kernel.numpy()
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
        x, _ = _data()
        losses.append(model.fit(x, x, epochs=2, verbose=0, shuffle=False).history["loss"])
        np.testing.assert_array_equal(layers[0].kernel.numpy(), before)
        frozen.append(before)
    np.testing.assert_array_equal(*frozen)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)


def test_word_numbers_are_not_rounded_to_a_layers_compute_dtype():
    layers = [keras.layers.Embedding(2000, 4, dtype="mixed_bfloat16"), keras.layers.Dense(4)]
    chain = RematerialisedChain(layers, 1, dtype="mixed_bfloat16")
    words = np.array([[1001, 1999]])
    chain.build(words.shape)
    expected = layers[1](layers[0](words))
    for training in (False, True):
        np.testing.assert_array_equal(chain(words, training=training), expected)
