"""The CUDA kernels compile for each architecture, launch rightly, and compute their references.

None of this needs a GPU: a mock driver runs the very sources on the CPU, a fiber a thread. What
it cannot show is the hardware's own arithmetic, memory and speed.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_ab.kernels.extended_batch_norm import reference_moments
from keras_ab.kernels.native import build, device_code, register
from keras_ab.kernels.native import standardize as ws
from keras_ab.kernels.weight_standardization import reference_standardized
from tests.kernels.native import c_interface as c
from tests.kernels.native import cases, emulator, launch_sizes, machine_code
from tests.kernels.native.frames import Handlers
from tests.studies.tables import between

SHAPES = [(), (1,), (7,), (1, 1), (5, 1), (1, 9), (33, 65), (2, 3, 5), (3, 3, 4, 6), (1, 1, 1, 8)]
SHAPES += [(9000,), (70, 300), (2, 2, 2, 2, 3)]
ORDERS = ("ascending", "descending", "shuffled")

dtypes = pytest.mark.parametrize("dtype", c.DTYPES.values(), ids=c.DTYPES)


def nvrtc() -> ctypes.CDLL:
    try:
        return device_code.nvrtc()
    except device_code.NotAvailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("capability", [80, 90, 120])
@pytest.mark.parametrize("unit", device_code.UNITS)
def test_every_source_compiles(unit, capability):
    source = (build.SOURCES / f"{unit}.cu").read_text()
    assert device_code.compile_source(source, capability, nvrtc())[:4] == b"\x7fELF"


def test_units_are_the_sources():
    assert {path.stem for path in build.SOURCES.glob("*.cu")} == set(device_code.UNITS)


def test_a_source_that_does_not_compile_says_why():
    with pytest.raises(device_code.NotAvailable, match="nonsense"):
        device_code.compile_source("nonsense", 90, nvrtc())


@pytest.fixture(scope="module")
def mock_path(tmp_path_factory: Any, compiler: build.Compiler) -> Path:
    return emulator.build_driver(tmp_path_factory.mktemp("driver"), compiler)


@pytest.fixture(scope="module")
def driver(mock_path: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(mock_path))


@pytest.fixture
def cuda(emulated: c.Cuda, driver: ctypes.CDLL) -> Iterator[c.Cuda]:
    """The emulator; no barrier may be reached by some threads of a block alone."""
    divergences = ctypes.c_int.in_dll(driver, "mock_divergences")
    divergences.value = 0
    yield emulated
    assert divergences.value == 0


@pytest.fixture(scope="module")
def emulated(driver: ctypes.CDLL, tmp_path_factory: Any) -> c.Cuda:
    return emulator.emulated(tmp_path_factory.mktemp("library"))


@pytest.fixture(params=ORDERS)
def order(request: Any, driver: ctypes.CDLL) -> Iterator[str]:
    """In which order the threads of a block come to their turns."""
    chosen = ctypes.c_int.in_dll(driver, "mock_order")
    chosen.value = ORDERS.index(request.param)
    yield request.param
    chosen.value = 0


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture(scope="module")
def frame(tmp_path_factory: Any, compiler: build.Compiler) -> ctypes.CDLL:
    return emulator.build_frame(tmp_path_factory.mktemp("frame"), compiler)


@pytest.fixture
def handlers(cuda: c.Cuda, frame: ctypes.CDLL) -> Iterator[Handlers]:
    """The handlers; none may keep scratch memory, or write beyond it."""
    yield Handlers(frame, cuda.library)
    told = ("frame_alive", "frame_overruns")
    assert [ctypes.c_int.in_dll(frame, name).value for name in told] == [0, 0]


@dtypes
def test_adam(cuda, rng, dtype, order):
    cases.check_adam(cuda, [*SHAPES, (0,), (3, 0)], dtype, rng)


@dtypes
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sm3(cuda, rng, dtype, momentum, order):
    tensors = [cases.sm3_tensor(rng, shape, dtype, momentum) for shape in [*SHAPES, (0,)]]
    cases.check_sm3(cuda, tensors, momentum)


@dtypes
def test_adafactor(cuda, rng, dtype, order):
    cases.check_adafactor(cuda, [cases.adafactor_tensor(rng, shape, dtype) for shape in SHAPES])


@dtypes
def test_clip(cuda, rng, dtype, order):
    cases.check_clip(cuda, [cases.clip_tensor(rng, shape, dtype) for shape in SHAPES])


@dtypes
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2, 9001), (9, 300)])
def test_cross_entropy(handlers, rng, shape, dtype, order):
    cases.check_cross_entropy(handlers, rng, shape, dtype)


@dtypes
@pytest.mark.parametrize("shape", [(1, 1), (9, 1), (1, 9), (3, 3, 5, 7), (700, 70)])
def test_standardize(handlers, rng, shape, dtype, order):
    cases.check_standardize(handlers, rng, shape, dtype)


@dtypes
@pytest.mark.parametrize("shape", [(1, 1), (4, 3), (1000, 17), (3, 500)])
def test_batch_statistics(handlers, rng, shape, dtype, order):
    cases.check_batch_statistics(handlers, rng, shape, dtype)


def test_the_emulator_sees_a_barrier_that_half_the_threads_reach(emulated, driver):
    divergences = ctypes.c_int.in_dll(driver, "mock_divergences")
    divergences.value = 0
    emulated.launch("probe", "divergent", (1, 1), np.zeros(1, np.float32))
    assert divergences.value == 1


def test_shared_memory_that_nobody_wrote_is_nan(cuda):
    result = np.zeros(1, np.float32)
    cuda.launch("probe", "unwritten", (1, 1), result)
    assert np.isnan(result[0])


@pytest.mark.skipif(emulator.FLAGS_VARIABLE not in os.environ, reason="it would be done")
@pytest.mark.parametrize("kernel", ["beyond", "beyond_shared"])
def test_the_sanitizer_ends_what_writes_beyond(emulated, kernel):
    """Run by test_sanitized.py: it has to end the process."""
    emulated.launch("probe", kernel, (1, 1), np.zeros(4, np.float32))


def test_what_threads_race_for_goes_to_another_in_another_order(cuda, order):
    result = np.zeros(1, np.float32)
    cuda.launch("probe", "racing", (1, 1), result)
    last = {"ascending": 255, "descending": 0}
    assert result[0] == last.get(order, result[0])
    assert 0 <= result[0] <= 255


def test_a_zero_row_and_column_give_finite_weights(cuda, rng):
    t = cases.adafactor_tensor(rng, (64, 48), np.float32)
    t["g"][5, :] = 0
    t["g"][:, 7] = 0
    t["r"][...] = 0
    t["c"][...] = 0
    cuda.adafactor(c.adafactor_structs([t]), (0.01, 1.0, *cases.ADAFACTOR.values()))
    assert np.isfinite(t["w"]).all()


def test_huge_gradients_do_not_overflow_the_norm(cuda, rng):
    """Beside columns that are small, and in a tensor that is a single unit."""
    tensors = [cases.clip_tensor(rng, shape, np.float32) for shape in ((300, 20), (700,))]
    tensors[0]["g"][:, ::3] *= np.float32(1e36)
    tensors[1]["w"] *= np.float32(1e25)
    tensors[1]["g"] *= np.float32(1e36)
    cases.check_clip(cuda, tensors)
    assert all(0 < t["factor"].min() < 1e-20 or t["w"].ndim == 1 for t in tensors)


@dtypes
def test_a_mean_far_from_zero_takes_nothing_from_the_variance(handlers, rng, dtype, order):
    """Float32 sums about zero would keep no digit of it; the first rows lie apart as well."""
    x = np.asarray(rng.standard_normal((500, 9)) + 300, np.float32)
    x[:40] += 20
    x = x.astype(dtype)
    up = (cases.random(rng, (500, 9), np.float32) + np.float32(100)).astype(dtype)
    d_mean, d_var = (cases.random(rng, (n,), np.float32) for n in (9, 1))
    _, variance, _ = handlers.batch_statistics(x, d_mean, d_var)
    cases.near(variance[0], reference_moments(x, "channel_means")[1])
    gain = cases.random(rng, (9,), np.float32)
    y, d, d_gain = handlers.standardize(x, gain, up)
    cases.near(y, reference_standardized(x, gain, ws.EPSILON))
    d_expected, gain_expected = ws.reference_gradient(x, gain, up)
    cases.near(d, d_expected)
    cases.near(d_gain, gain_expected)


@pytest.mark.parametrize("cols", [1, 3, 8, 40, 1024, 1500])
def test_adafactor_cuts_matrices_of_any_width_into_tiles(cuda, rng, cols):
    """Rows beyond one tile, columns beyond one, and few enough that threads share out the rows."""
    cases.check_adafactor(cuda, [cases.adafactor_tensor(rng, (2, 70, cols), np.float32)])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_comes_out_of_every_kernel(cuda, rng, bad):
    clipped = cases.clip_tensor(rng, (33, 65), np.float32)
    clipped["g"][3, 5] = bad
    cases.check_clip(cuda, [clipped])
    factored = cases.adafactor_tensor(rng, (33, 65), np.float32)
    factored["g"][3, 5] = bad
    cuda.adafactor(c.adafactor_structs([factored]), (0.01, 0.3, *cases.ADAFACTOR.values()))
    assert np.isnan(factored["w"][3, 5])
    assert not np.isfinite(factored["r_out"].ravel()[3])
    assert not np.isfinite(factored["c_out"].ravel()[5])
    assert np.isfinite(factored["r_out"].ravel()[4])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_comes_out(cuda, handlers, rng, bad):
    x, labels, up = cases.random(rng, (2, 700), np.float32), np.array([0, 1], np.int32), np.ones(2)
    x[0, 300] = bad
    loss, _ = handlers.cross_entropy(x, labels, up.astype(np.float32))
    assert np.isnan(loss[0]) == (bad != -np.inf)
    assert np.isfinite(loss[1])
    t = cases.sm3_tensor(rng, (33, 65), np.float32, 0)
    t["g"][3, 5] = bad
    cases.check_sm3(cuda, [t], 0.0)
    t["mu"], t["g"] = [np.array(a) for a in t["mu_out"]], np.ones_like(t["g"])
    cases.check_sm3(cuda, [t], 0.0)


def test_a_label_out_of_range_is_nan(handlers, rng):
    x, up = cases.random(rng, (3, 7), np.float32), np.ones(3, np.float32)
    loss, d = handlers.cross_entropy(x, np.array([0, 7, -1], np.int64), up)
    assert np.isnan(loss).tolist() == [False, True, True]
    assert np.isnan(d).all(axis=1).tolist() == [False, True, True]


def test_many_variables_take_few_launches(cuda, driver, rng):
    """100 variables: 52 to a launch, the module loaded once."""
    launches = ctypes.c_int.in_dll(driver, "mock_launches")
    before = launches.value
    cases.check_adam(cuda, [(9,)] * 100, np.float32, rng)
    assert launches.value - before == 2


def test_adafactor_runs_its_phases_in_order(cuda, driver, rng):
    log = (ctypes.c_char * 65536).in_dll(driver, "mock_log")
    log.value = b""
    cases.check_adafactor(cuda, [cases.adafactor_tensor(rng, (4, 5), np.float32)])
    phases = ["moments", "factors", "means", "norm", "scale", "apply"]
    assert log.value.decode().split() == [f"adafactor_{phase}" for phase in phases]


H100 = 132
"""Multiprocessors."""

OF_PARTS = {"sm3_clear", "adafactor_means", "adafactor_scale"}
OF_PARTS |= {"batch_statistics_join", "batch_statistics_pool"}
"""Kernels that go over one number a row, a column, a tile or a channel."""


def test_large_cases_have_a_block_for_every_multiprocessor(cuda, handlers, driver):
    """But for the kernels of a convolution one by one, of which some have 64 units."""
    found = list(launch_sizes.launched(cuda, handlers, driver))
    few = {kernel for kernel, blocks in found if blocks < H100} - OF_PARTS
    assert few == {"standardize_forward", "standardize_backward"}
    (said,) = between("launch_sizes").findall(machine_code.PAGE.read_text(encoding="utf-8"))
    assert said == f"{launch_sizes.table(found)}\n"


def test_a_failed_launch_is_an_error(cuda, driver, rng):
    error = ctypes.c_int.in_dll(driver, "mock_launch_error")
    error.value = 700
    try:
        with pytest.raises(RuntimeError, match="cuLaunchKernel; got error 700"):
            cases.check_adam(cuda, [(9,)], np.float32, rng)
    finally:
        error.value = 0


def test_code_that_was_not_compiled_is_an_error(cuda):
    with pytest.raises(RuntimeError, match="got none of other for sm_90"):
        cuda.launch("other", "adam", (1, 1))


@pytest.mark.parametrize("wheel", ["cuda_nvrtc", "cu13"])
def test_the_compiler_is_found_in_the_wheels_of_either_cuda(monkeypatch, tmp_path, wheel):
    place = tmp_path / "nvidia" / wheel / "lib"
    place.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert place in device_code._wheel_directories()


ASK = """
import ctypes, sys
if sys.argv[2:]:
    mock = ctypes.CDLL(sys.argv[2])
    ctypes.c_int.in_dll(mock, "mock_version").value = int(sys.argv[3])
from keras_ab.kernels.native import device_code
library = ctypes.CDLL(sys.argv[1])
try:
    device_code.check(library)
    print("fine", device_code.prepare(library))
except device_code.NotAvailable as error:
    print(error.must, "|", error.got, "|", error.remedy)
"""


def ask(*mock: str) -> str:
    command = [sys.executable, "-c", ASK, str(build.library()), *mock]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_no_driver(library):
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has a driver")
    assert ask().split(" | ")[1:] == ["no libcuda.so.1", "Install the driver.\n"]


def test_a_driver_that_is_too_old(mock_path):
    assert ask(str(mock_path), "11080").split(" | ")[1] == "one for 11.8"


def test_a_driver_that_serves(mock_path):
    nvrtc()
    for unit in device_code.UNITS:
        device_code.cubin(unit, 90)  # cached here: NVRTC itself crashes beside a mock libcuda
    assert ask(str(mock_path), "12000") == "fine (90,)\n"


def test_the_process_own_library_has_no_mock(cuda):
    """What the mock serves is a copy: the tests beside this one see the machine as it is."""
    assert cuda.library._name != register.library()._name
