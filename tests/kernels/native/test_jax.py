"""The same library in JAX, through its FFI: ops, gradients, optimizers, Keras' fit."""

import importlib.util
import os
import subprocess
import sys

import pytest

PROGRAM = """
import jax, jax.numpy as jnp, keras, numpy as np
from keras_ab import kernels
from keras_ab.kernels.extended_batch_norm import reference_moments
from keras_ab.kernels.native import adafactor, adam, adaptive_clip, sm3
from keras_ab.kernels.native import batch_statistics as bs, cross_entropy as ce, standardize as ws
from keras_ab.kernels.weight_standardization import reference_standardized
from tests.kernels.native import cases

assert keras.backend.backend() == "jax"
rng = np.random.default_rng(3)
for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
    for form in (jax.jit, lambda f: f)[: 2 if dtype == jnp.float32 else 1]:
        x, labels = cases.random(rng, (5, 33), dtype), np.arange(5)
        up = np.ones(5, np.float32)
        value, d = form(jax.value_and_grad(lambda x: ce.sparse_cross_entropy(labels, x).sum()))(x)
        cases.near(np.asarray(value), ce.reference(labels, x).sum())
        cases.near(np.asarray(d), ce.reference_gradient(labels, x, up))
        w, gain = cases.random(rng, (3, 3, 4, 6), dtype), cases.random(rng, (6,), np.float32)
        summed = lambda w, g: ws.standardize(w, g).astype(jnp.float32).sum()
        d = form(jax.grad(summed, (0, 1)))(w, gain)
        expected = ws.reference_gradient(w, gain, np.ones_like(w))
        scale = np.abs(reference_standardized(w, gain, ws.EPSILON)).max()
        assert np.abs(np.asarray(d[0], np.float64) - expected[0]).max() < 1e-5 * scale
        y = form(ws.standardize)(w, gain)
        cases.near(np.asarray(y), reference_standardized(w, gain, ws.EPSILON))
        mean, variance = form(bs.batch_statistics)(x)
        cases.near(np.asarray(mean), reference_moments(x, "channel_means").mean)
        d = form(jax.grad(lambda x: bs.batch_statistics(x)[1]))(x)
        cases.near(np.asarray(d), bs.reference_gradient(x, np.zeros(33), 1.0))

makes = [
    lambda: adam.Adam(0.01),
    lambda: sm3.SM3(0.05, momentum=0.9),
    lambda: adafactor.Adafactor(0.01),
    lambda: adaptive_clip.AdaptiveClip(adam.Adam(0.01), ()),
]
X, Y = rng.standard_normal((40, 6)).astype(np.float32), rng.integers(0, 5, 40)
for make in makes:
    both = []
    for mode in ("native", "reference"):
        with kernels.use(mode):
            keras.utils.set_random_seed(1)
            body = [keras.layers.Dense(8), keras.layers.Dense(5)]
            model = keras.Sequential([keras.Input((6,)), *body])
            model.compile(make(), ce.SparseCategoricalCrossentropy())
            fit = model.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0)
            both.append(fit.history["loss"])
    np.testing.assert_allclose(*both, rtol=1e-4)
    assert both[0][-1] < both[0][0]
print("done")
"""


def test_jax(library):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed; install jax to try its FFI")
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-3000:]
