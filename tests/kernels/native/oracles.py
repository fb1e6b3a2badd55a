"""How far the native kernels are from optax and from JAX's own derivatives, in float64.

    python -m tests.kernels.native.oracles

prints the table of README.md. Optimizers run for 50 steps over awkward shapes and each kind of
gradient; an error is relative to the largest weight, loss or gradient of its tensor.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from keras_ab.kernels import adafactor
from keras_ab.kernels.native import adam, register
from keras_ab.kernels.native import standardize as ws
from tests.kernels.native import c_interface as c
from tests.kernels.native import cases

STEPS = 50
SHAPES = [(1,), (7,), (1, 1), (5, 1), (1, 9), (33, 65), (2, 3, 5), (3, 3, 4, 6), (1, 1, 1, 8)]
SHAPES += [(300, 257), (9000,)]
KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "tiny": lambda rng, shape: 1e-12 * rng.normal(size=shape),
    "huge": lambda rng, shape: 1e12 * rng.normal(size=shape),
    "of all sizes": lambda rng, shape: rng.normal(size=shape) * 10 ** rng.uniform(-8, 2, shape),
    "mostly zero": lambda rng, shape: rng.normal(size=shape) * (rng.random(shape) > 0.9),
    "constant": lambda _, shape: np.ones(shape),
    "of one sign": lambda rng, shape: np.abs(rng.normal(size=shape)),
}


def _problems(shapes: list[tuple[int, ...]]) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    for number, (shape, kind) in enumerate((s, k) for s in shapes for k in KINDS.values()):
        rng = np.random.default_rng(number)
        w = rng.normal(size=shape).astype(np.float32)
        yield w, [kind(rng, shape).astype(np.float32) for _ in range(STEPS)]


def _by_optax(rule: Any) -> Callable[[np.ndarray, list[np.ndarray]], np.ndarray]:
    update = jax.jit(rule.update)

    def train(w: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
        params = jnp.asarray(w, jnp.float64)
        state = rule.init(params)
        for g in gradients:
            step, state = update(jnp.asarray(g, jnp.float64), state, params)
            params = optax.apply_updates(params, step)
        return np.asarray(params)

    return train


def _error(got: np.ndarray, expected: Any) -> float:
    expected = np.asarray(expected, np.float64)
    scale = np.abs(expected).max(initial=0.0) or 1.0
    return float(np.abs(np.asarray(got, np.float64) - expected).max(initial=0.0) / scale)


def _adam(kernels: c.Cpu) -> float:
    """With an ε that only keeps 0/0 finite: optax adds it to the corrected √v, the kernel to √v."""
    errors, oracle = [], _by_optax(optax.adam(1e-3, eps=1e-37))
    for w, gradients in _problems(SHAPES):
        t = {"w": w.copy(), "m": w * 0, "v": w * 0}
        for step, g in enumerate(gradients, start=1):
            alpha = adam.step_size(1e-3, step, 0.9, 0.999)
            kernels.adam(c.adam_structs([t | {"g": g}]), alpha, (0.9, 0.999, 1e-37))
        errors.append(_error(t["w"], oracle(w, gradients)))
    return max(errors)


def _sm3(kernels: c.Cpu) -> float:
    rule = optax.chain(optax.scale_by_sm3(0.9, 1.0, 0.0), optax.scale_by_learning_rate(0.1))
    errors, oracle = [], _by_optax(rule)
    for w, gradients in _problems(SHAPES):
        t = cases.sm3_tensor(np.random.default_rng(0), w.shape, np.float32, 0.9)
        t |= {"w": w.copy(), "m": w * 0, "mu": [a * 0 for a in t["mu"]]}
        for g in gradients:
            kernels.sm3(c.sm3_structs([t | {"g": g}]), 0.1, 0.9)
            t["mu"] = [a.copy() for a in t["mu_out"]]
        errors.append(_error(t["w"], oracle(w, gradients)))
    return max(errors)


def _adafactor(kernels: c.Cpu) -> float:
    """Of rank 1 and 2: from rank 3 on optax factors the two largest axes, not the last two."""
    errors, oracle = [], _by_optax(optax.adafactor(1e-2, min_dim_size_to_factor=1))
    for w, gradients in _problems([s for s in SHAPES if len(s) < 3]):
        t = {"w": w.copy()}
        for name, shape in zip("rc", adafactor.factor_shapes(w.shape), strict=False):
            t |= {name: np.zeros(shape, np.float32), f"{name}_out": np.zeros(shape, np.float32)}
        for step, g in enumerate(gradients, start=1):
            constants = (1e-2, step**-0.8, *cases.ADAFACTOR.values())
            kernels.adafactor(c.adafactor_structs([t | {"g": g}]), constants)
            t |= {name: t[f"{name}_out"].copy() for name in "rc" if name in t}
        errors.append(_error(t["w"], oracle(w, gradients)))
    return max(errors)


def _clip(kernels: c.Cpu) -> float:
    errors = []
    for w, gradients in _problems(SHAPES):
        axes = cases.unit_axes(w.shape)
        rule = optax.adaptive_grad_clip(0.01, axis=axes)
        for g in gradients[:3]:
            units = tuple(1 if axis in axes else n for axis, n in enumerate(w.shape))
            t = {"w": w, "g": g, "factor": np.empty(units, np.float32)}
            kernels.clip(c.clip_structs([t]), 0.01, 1e-3)
            gradient, params = (jnp.asarray(x, jnp.float64) for x in (g, w))
            expected, _ = rule.update(gradient, rule.init(params), params)
            errors.append(_error(g * t["factor"], expected))
    return max(errors)


def _derived(function: Any, got: list[np.ndarray], inputs: list, upstream: Any) -> float:
    """Compare outputs and gradients with a function's, differentiated by JAX."""
    wide = [jnp.asarray(x, jnp.float64) for x in inputs]
    outputs, pull = jax.vjp(function, *wide)
    expected = [*jax.tree.leaves(outputs), *pull(upstream)]
    return max(_error(a, b) for a, b in zip(got, expected, strict=True))


def _cross_entropy(kernels: c.Cpu) -> float:
    errors = []
    for seed, (shape, scale) in enumerate([((5, 7), 1), ((64, 1000), 30), ((3, 9001), 3)]):
        rng = np.random.default_rng(seed)
        x, up = (
            cases.random(rng, shape, np.float32, scale),
            cases.random(rng, shape[:1], np.float32),
        )
        labels = rng.integers(0, shape[1], shape[0], dtype=np.int32)
        got = cases.Tensors(kernels).cross_entropy(x, labels, up)

        def loss(x: Any, labels: np.ndarray = labels) -> Any:
            return optax.softmax_cross_entropy_with_integer_labels(x, labels)

        errors.append(_derived(loss, got, [x], jnp.asarray(up, jnp.float64)))
    return max(errors)


def _standardize(kernels: c.Cpu) -> float:
    def standardised(w: Any, gain: Any) -> Any:
        axes = tuple(range(w.ndim - 1))
        return gain * jax.nn.standardize(w, axes, epsilon=0.0) / w[..., 0].size ** 0.5

    errors = []
    for seed, shape in enumerate([(9, 4), (3, 3, 5, 7), (1, 1, 64, 200), (5000, 3)]):
        rng = np.random.default_rng(seed)
        w, up = (cases.random(rng, shape, np.float32) for _ in range(2))
        gain = cases.random(rng, shape[-1:], np.float32)
        got = cases.Tensors(kernels).standardize(w, gain, up)
        errors.append(_derived(standardised, got, [w, gain], jnp.asarray(up, jnp.float64)))
    return max(errors)


def _batch_statistics(kernels: c.Cpu) -> float:
    errors = []
    for seed, shape in enumerate([(4, 3), (1000, 17), (3, 5000)]):
        rng = np.random.default_rng(seed)
        x, d_mean = cases.random(rng, shape, np.float32), cases.random(rng, shape[-1:], np.float32)
        got = cases.Tensors(kernels).batch_statistics(x, d_mean, np.ones(1, np.float32))
        got[1] = got[1][0]
        upstream = (jnp.asarray(d_mean, jnp.float64), jnp.asarray(1.0, jnp.float64))
        errors.append(_derived(lambda x: (x.mean(0), x.var(0).mean()), got, [x], upstream))
    return max(errors)


ORACLES: dict[str, tuple[str, Callable[[c.Cpu], float]]] = {
    "adam": ("optax.adam, 50 steps", _adam),
    "sm3": ("optax.scale_by_sm3, 50 steps", _sm3),
    "adafactor": ("optax.adafactor up to rank 2, 50 steps", _adafactor),
    "adaptive_clip": ("optax.adaptive_grad_clip", _clip),
    "cross_entropy": ("optax, differentiated by JAX", _cross_entropy),
    "standardize": ("jax.nn.standardize, differentiated by JAX", _standardize),
    "batch_statistics": ("jnp.mean and var, differentiated by JAX", _batch_statistics),
}
assert ws.EPSILON < 1e-3  # no kernel above has less variance, so the oracle needs no ε


def worst_error(kernel: str) -> float:
    """Return the largest relative error of a kernel against its oracle."""
    with jax.enable_x64(True):
        return ORACLES[kernel][1](c.Cpu(register.library(), 2))


def table() -> str:
    """Return the table in Markdown."""
    rows = [f"| {k} | {name} | {worst_error(k):.0e} |" for k, (name, _) in ORACLES.items()]
    return "\n".join(["| kernel | oracle, in float64 | worst error |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())
