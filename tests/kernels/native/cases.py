"""Inputs for the kernels, their expected results, and how near is near enough."""

from ctypes import c_double, c_int32, c_int64
from typing import Any

import numpy as np

from keras_ab.kernels import adafactor, sm3
from keras_ab.kernels.adaptive_gradient_clipping import reference_clipped
from keras_ab.kernels.extended_batch_norm import reference_moments
from keras_ab.kernels.native import adam, batch_statistics, cross_entropy
from keras_ab.kernels.native import standardize as ws
from keras_ab.kernels.weight_standardization import reference_standardized
from tests.kernels.native import c_interface as c

SHAPES = [(), (1,), (0,), (7,), (1, 1), (5, 1), (1, 9), (33, 65), (0, 3), (3, 0), (2, 3, 5)]
SHAPES += [(3, 3, 4, 6), (1, 1, 1, 8), (2, 2, 2, 2, 3), (70000,), (300, 257), (1, 40000)]
ADAM = (0.9, 0.999, 1e-7)
ADAFACTOR = {"epsilon_1": 1e-30, "epsilon_2": 1e-3, "clip_threshold": 1.0}


def near(got: np.ndarray, expected: np.ndarray, bound: float = 1e-6, beside: Any = 0.0) -> None:
    """Assert float32 within `bound` of the tensor's scale, low precision within two roundings.

    No version in a low precision can be nearer than the rounded float64 result is, so twice that
    is stricter than twice the error of any. The scale takes in `beside`, what the result was
    updated from: where w - step nearly cancels, w's own rounding is
    left. NaN and infinity must stand where they are expected.
    """
    expected = np.asarray(expected, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = expected.astype(got.dtype).astype(np.float64)
        value = got.astype(np.float64)
        same = (value == rounded) | (np.isnan(value) & np.isnan(rounded))
        finite = np.isfinite(rounded)
        assert np.all(same | finite), (value[~(same | finite)], rounded[~(same | finite)])
        start = np.abs(np.asarray(beside, np.float64)).max(initial=0.0)
        scale = max(np.abs(expected[finite]).max(initial=0.0), start)
        unit = bound if got.dtype == np.float32 else 2 * float(_half_ulp(got.dtype))
        error = np.abs(value - expected)[finite]
    floor = 1e-12 if got.dtype == np.float32 else _smallest(got.dtype)  # where the result is 0
    allowed = unit * scale + floor
    assert error.max(initial=0.0) <= allowed, (error.max(), allowed)


def _half_ulp(dtype: np.dtype) -> float:
    return 2.0**-9 if dtype != np.float16 else 2.0**-12


def _smallest(dtype: np.dtype) -> float:
    return 2.0**-24 if dtype == np.float16 else 2.0**-126


def random(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, scale: float = 1.0) -> Any:
    return np.asarray(rng.standard_normal(shape) * scale, np.float32).astype(dtype)


def positive(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    return np.asarray(np.abs(random(rng, shape, np.float32)) + np.float32(0.01)).astype(dtype)


def copies(tensors: list[dict]) -> list[dict]:
    return [{k: np.array(a) for k, a in t.items() if isinstance(a, np.ndarray)} for t in tensors]


def check_adam(kernels: Any, shapes: list, dtype: Any, rng: np.random.Generator) -> None:
    tensors = []
    for shape in shapes:
        t = {k: random(rng, shape, dtype) for k in ("w", "m", "g")}
        tensors.append(t | {"v": positive(rng, shape, dtype)})
    expected = [adam.reference(t["w"], t["m"], t["v"], t["g"], alpha=1e-2) for t in tensors]
    before = copies(tensors)
    kernels.adam(c.adam_structs(tensors), 1e-2, ADAM)
    for t, start, results in zip(tensors, before, expected, strict=True):
        for name, result in zip("wmv", results, strict=True):
            near(t[name], result, beside=start[name])


def sm3_tensor(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, momentum: float
) -> dict:
    dims = sm3.accumulator_shapes(shape)
    t = {k: random(rng, shape, dtype) for k in ("w", "g")}
    t["mu"] = [positive(rng, d, np.float32) for d in dims]
    t["mu_out"] = [np.full(d, np.nan, np.float32) for d in dims]
    return t | ({"m": random(rng, shape, dtype)} if momentum else {})


def check_sm3(kernels: Any, tensors: list[dict], momentum: float) -> None:
    expected = [sm3.reference_update(t["mu"], t["g"]) for t in tensors]
    before = copies(tensors)
    kernels.sm3(c.sm3_structs(tensors), 0.1, momentum)
    for t, start, (step, mu) in zip(tensors, before, expected, strict=True):
        if momentum:
            step = momentum * start["m"].astype(np.float64) + (1 - momentum) * step
            near(t["m"], step, beside=start["m"])
        near(t["w"], start["w"].astype(np.float64) - 0.1 * step, beside=start["w"])
        for got, accumulator in zip(t["mu_out"], mu, strict=True):
            near(got, accumulator)


def adafactor_tensor(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> dict:
    t = {k: random(rng, shape, dtype) for k in ("w", "g")}
    for name, own in zip("rc", adafactor.factor_shapes(shape), strict=False):
        t[name] = positive(rng, own, np.float32)
        t[f"{name}_out"] = np.full(own, np.nan, np.float32)
    return t


def check_adafactor(kernels: Any, tensors: list[dict], decay: float = 0.3) -> None:
    expected = [
        adafactor.reference_update(t["w"], moments(t), t["g"], 0.01, decay) for t in tensors
    ]
    before = copies(tensors)
    kernels.adafactor(c.adafactor_structs(tensors), (0.01, decay, *ADAFACTOR.values()))
    for t, start, (update, new) in zip(tensors, before, expected, strict=True):
        near(t["w"], start["w"].astype(np.float64) - update, beside=start["w"])
        for got, moment in zip(("r_out", "c_out"), new, strict=False):
            near(t[got], moment)


def moments(t: dict) -> list[np.ndarray]:
    return [t[name] for name in "rc" if name in t]


def unit_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A vector is one unit; of a kernel the last axis is the outputs."""
    return tuple(range(len(shape) - 1)) if len(shape) > 1 else tuple(range(len(shape)))


def clip_tensor(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> dict:
    t = {"w": random(rng, shape, dtype), "g": random(rng, shape, dtype, 0.02)}
    axes = unit_axes(shape)
    units = tuple(1 if axis in axes else n for axis, n in enumerate(shape))
    return t | {"factor": np.full(units, np.nan, np.float32)}


def check_clip(kernels: Any, tensors: list[dict]) -> None:
    kernels.clip(c.clip_structs(tensors), 0.01, 1e-3)
    for t in tensors:
        with np.errstate(invalid="ignore"):
            got = (t["g"].astype(np.float32) * t["factor"]).astype(t["g"].dtype)
        near(got, reference_clipped(t["g"], t["w"], axes=unit_axes(t["w"].shape)))


class Tensors:
    """The per-tensor kernels under one form of call, for the CPU."""

    def __init__(self, kernels: c.Cpu) -> None:
        self.kernels = kernels

    def cross_entropy(self, x: np.ndarray, labels: np.ndarray, upstream: np.ndarray) -> list:
        code, size = c_int32(c.CODES[x.dtype]), [c_int64(n) for n in x.shape]
        out = [np.full(len(x), np.nan, np.float32) for _ in range(3)]
        d = np.empty_like(x)
        common = (x, code, labels, c_int32(labels.itemsize), *size)
        self.kernels.tensor("cross_entropy_forward", *common, *out)
        self.kernels.tensor("cross_entropy_backward", *common, *out[1:], upstream, d)
        return [out[0], d]

    def standardize(self, w: np.ndarray, gain: np.ndarray, up: np.ndarray) -> list:
        code, eps = c_int32(c.CODES[w.dtype]), c_double(ws.EPSILON)
        size = c_int64(int(np.prod(w.shape[:-1], dtype=np.int64))), c_int64(w.shape[-1])
        y, d, d_gain = np.empty_like(w), np.empty_like(w), np.empty_like(gain)
        self.kernels.tensor("standardize_forward", w, code, gain, *size, eps, y)
        self.kernels.tensor("standardize_backward", w, code, gain, up, *size, eps, d, d_gain)
        return [y, d, d_gain]

    def batch_statistics(self, x: np.ndarray, d_mean: np.ndarray, d_var: np.ndarray) -> list:
        code, size = c_int32(c.CODES[x.dtype]), [c_int64(n) for n in x.shape]
        mean, variance = np.empty_like(d_mean), np.empty_like(d_var)
        d = np.empty_like(x)
        self.kernels.tensor("batch_statistics_forward", x, code, *size, mean, variance)
        self.kernels.tensor("batch_statistics_backward", x, code, mean, d_mean, d_var, *size, d)
        return [mean, variance, d]


def check_cross_entropy(tensors: Any, rng: np.random.Generator, shape: Any, dtype: Any) -> None:
    x, up = random(rng, shape, dtype, 3), random(rng, shape[:1], np.float32)
    labels = rng.integers(0, shape[1], shape[0], dtype=np.int32)
    loss, d = tensors.cross_entropy(x, labels, up)
    near(loss, cross_entropy.reference(labels, x))
    near(d, cross_entropy.reference_gradient(labels, x, up))


def check_standardize(tensors: Any, rng: np.random.Generator, shape: Any, dtype: Any) -> None:
    w, up = random(rng, shape, dtype), random(rng, shape, dtype)
    gain = random(rng, shape[-1:], np.float32)
    y, d, d_gain = tensors.standardize(w, gain, up)
    near(y, reference_standardized(w, gain, ws.EPSILON))
    d_expected, gain_expected = ws.reference_gradient(w, gain, up)
    near(d, d_expected)
    near(d_gain, gain_expected)


def check_batch_statistics(tensors: Any, rng: np.random.Generator, shape: Any, dtype: Any) -> None:
    x = (random(rng, shape, np.float32) + np.float32(3)).astype(dtype)
    d_mean, d_var = random(rng, shape[-1:], np.float32), random(rng, (1,), np.float32)
    mean, variance, d = tensors.batch_statistics(x, d_mean, d_var)
    expected = reference_moments(x, "channel_means")
    near(mean, expected[0])
    near(variance[0], expected[1])
    near(d, batch_statistics.reference_gradient(x, d_mean, d_var[0]))
