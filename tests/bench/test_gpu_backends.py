"""What each framework is told on a GPU: its memory and its precision, without a GPU."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from keras_ab.bench.lab.words.steps import MemoryShare, StepWork
from keras_ab.bench.lab.worker import backends, handler, protocol
from keras_ab.bench.lab.worker.backends import jax as jax_backend
from keras_ab.bench.lab.worker.backends import tensorflow as tensorflow_backend
from keras_ab.bench.lab.worker.backends import torch as torch_backend

SHARE = MemoryShare(15 * 2**30, 80 * 2**30)


@pytest.fixture
def tensorflow_gpu(monkeypatch):
    """TensorFlow's configuration, as on a machine with one GPU; keeps what the pool was told."""
    tf = pytest.importorskip("tensorflow")
    told = []
    config, experimental = tf.config, tf.config.experimental
    monkeypatch.setattr(config, "list_physical_devices", lambda _kind: ["gpu"])
    monkeypatch.setattr(
        config,
        "set_logical_device_configuration",
        lambda gpu, parts: told.append((gpu, [part.memory_limit for part in parts])),
    )
    monkeypatch.setattr(
        experimental, "set_memory_growth", lambda gpu, grows: told.append((gpu, grows))
    )
    monkeypatch.setattr(
        experimental, "get_device_details", lambda _gpu: {"compute_capability": (8, 0)}
    )
    monkeypatch.setattr(tensorflow_backend, "synchronise", lambda: None)
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    yield told
    experimental.enable_tensor_float_32_execution(True)


def test_tensorflows_pool_is_one_block_of_the_share(tensorflow_gpu):
    tensorflow_backend.open_device(SHARE)
    assert tensorflow_gpu == [("gpu", [15 * 1024])]  # MiB


def test_tensorflows_pool_grows_where_no_share_is_known(tensorflow_gpu):
    tensorflow_backend.open_device(None)
    assert tensorflow_gpu == [("gpu", True)]


@pytest.mark.usefixtures("tensorflow_gpu")
def test_tensorflow_multiplies_as_it_is_told_where_the_gpu_can(monkeypatch):
    import tensorflow as tf

    for products in ("float32", "tf32"):
        tensorflow_backend.use_products(products)
        assert tensorflow_backend.products() == products
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert tensorflow_backend.products() == "float32"
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    older = {"compute_capability": (7, 5)}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _gpu: older)
    assert tensorflow_backend.products() == "float32"


@pytest.fixture
def jax_gpu(monkeypatch):
    """JAX, as on a machine with one GPU, its device never opened."""
    jax = pytest.importorskip("jax")
    for name in ("XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_CLIENT_MEM_FRACTION"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-00aa-0000")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    gpu = SimpleNamespace(compute_capability="9.0")
    monkeypatch.setattr(jax, "devices", lambda: [gpu])
    monkeypatch.setattr(jax, "local_devices", lambda: [gpu])
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax_backend, "synchronise", lambda: None)
    before = jax.config.jax_default_matmul_precision
    yield jax
    jax.config.update("jax_default_matmul_precision", before)


@pytest.mark.usefixtures("jax_gpu")
def test_jaxs_pool_takes_its_share_at_once_whatever_was_exported(monkeypatch):
    """Beside the name of today, jaxlib refuses the older one, which many export."""
    from jaxlib import xla_client

    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9")
    jax_backend.open_device(SHARE)
    options = xla_client.generate_pjrt_gpu_plugin_options()
    assert options["preallocate"] is True
    assert options["memory_fraction"] == pytest.approx(15 / 80, abs=1e-4)


def test_jax_with_every_gpu_hidden_takes_the_cpu(jax_gpu, monkeypatch):
    told = []
    monkeypatch.setattr(jax_gpu.config, "update", lambda *option: told.append(option))
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        jax_backend.open_device(None)
    assert told == [("jax_platforms", "cpu")] * 2


def test_jax_multiplies_as_it_is_told_where_the_gpu_can(jax_gpu, monkeypatch):
    for products in ("float32", "tf32"):
        jax_backend.use_products(products)
        assert jax_backend.products() == products
    monkeypatch.setattr(
        jax_gpu, "local_devices", lambda: [SimpleNamespace(compute_capability="7.5")]
    )
    assert jax_backend.products() == "float32"


@pytest.fixture
def torch_gpu(monkeypatch):
    """A PyTorch with one GPU, as far as the backend asks."""
    told = []
    cuda = SimpleNamespace(
        is_available=lambda: True,
        synchronize=lambda: None,
        get_device_capability=lambda: (9, 0),
        set_per_process_memory_fraction=told.append,
    )
    switches = SimpleNamespace(
        cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False)),
        cudnn=SimpleNamespace(allow_tf32=True),
    )

    def precision():
        return "high" if switches.cuda.matmul.allow_tf32 else "highest"

    fake = SimpleNamespace(cuda=cuda, backends=switches, get_float32_matmul_precision=precision)
    monkeypatch.setitem(sys.modules, "torch", fake)
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    return SimpleNamespace(told=told, switches=switches)


def test_pytorchs_pool_stops_at_its_share(torch_gpu):
    torch_backend.open_device(SHARE)
    torch_backend.open_device(None)
    assert torch_gpu.told == [pytest.approx(15 / 80)]


def test_pytorch_multiplies_and_convolves_alike(torch_gpu):
    for products in ("tf32", "float32"):
        torch_backend.use_products(products)
        assert torch_backend.products() == products
        assert torch_gpu.switches.cudnn.allow_tf32 is (products == "tf32")


TORCH_DEVICE = """
import os
import keras_ab.bench.lab.worker.backends.torch_device
print(os.environ.get("KERAS_TORCH_DEVICE"))
"""


@pytest.mark.parametrize(
    ("visible", "told"), [("MIG-0bb-0000", "cuda"), ("GPU-00aa-0000", "cuda"), ("", "None")]
)
def test_keras_need_not_ask_pytorch_for_a_gpu_that_it_was_told(visible, told):
    """Asked for an instance of a GPU, PyTorch would open CUDA in the forkserver."""
    variables = {k: v for k, v in os.environ.items() if k != "KERAS_TORCH_DEVICE"}
    said = subprocess.run(
        [sys.executable, "-c", TORCH_DEVICE],
        env=variables | {"CUDA_VISIBLE_DEVICES": visible},
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.strip() == told
    first = torch_backend.PRELOAD.index("keras_ab.bench.lab.worker.backends.torch_device")
    assert first < torch_backend.PRELOAD.index("keras")


class Computing:
    """A backend on a GPU that keeps what it was told."""

    INSTALL_GPU = ""

    def __init__(self):
        self.told = []

    def open_device(self, memory, counted):
        self.told.append(memory)

    def use_products(self, products):
        self.told.append(products)

    def products(self):
        return self.told[-1]

    def seed(self, seed):
        pass


@pytest.fixture
def asked(monkeypatch):
    """A handler whose backend keeps what it was told."""
    made = handler.Handler()
    monkeypatch.setattr(backends, "load", lambda _name: Computing())
    return made


@pytest.mark.parametrize("products", ["tf32", "float32"])
def test_a_worker_opens_its_device_with_its_share_in_the_precision_asked_for(asked, products):
    asked.open(protocol.Open("some", memory=SHARE, products=products))
    assert asked.backend.told == [SHARE, products]


@pytest.mark.parametrize("products", ["tf32", "float32"])
def test_the_work_of_a_step_is_told_by_the_type_that_was_multiplied(asked, products):
    asked.open(protocol.Open("some", products=products))
    work = StepWork({"float32": 3.0, "bfloat16": 1.0}, 7.0)
    asked.prepared = SimpleNamespace(work=lambda: work)
    assert asked.work(protocol.Work()) == StepWork({products: 3.0, "bfloat16": 1.0}, 7.0)


def test_the_hand_over_ends_before_the_device_does(asked, monkeypatch):
    """A step is handed over in 2 s; the device is done 5 s after the last."""
    now = [0.0]

    def passes(seconds):
        now[0] += seconds

    monkeypatch.setattr(handler.clock, "now", lambda: now[0])
    asked.open(protocol.Open("some"))
    asked.backend.synchronise = lambda: passes(5.0)
    asked.prepared = SimpleNamespace(step=lambda: passes(2.0))
    sampled = asked.sample(protocol.Sample(3))
    assert (sampled.duration_s, sampled.hand_over_s) == (11.0, 6.0)


def test_all_that_a_worker_uses_of_processors_from_sample_to_sample_is_its_own(asked, monkeypatch):
    """A step uses 2 s, collecting garbage 3 s; before a warm sample steps are not timed."""
    used = [0.0]

    def uses(seconds):
        used[0] += seconds

    monkeypatch.setattr(handler.clock, "cpu_now", lambda: used[0])
    monkeypatch.setattr(handler.gc, "collect", lambda: uses(3.0))
    asked.open(protocol.Open("some"))
    asked.backend.synchronise = lambda: None
    asked.prepared = SimpleNamespace(step=lambda: uses(2.0))
    asked.sample(protocol.Sample(2))
    uses(0.5)  # to answer
    assert asked.sample(protocol.Sample(4)).cpu_s == 0.5 + 3.0 + (4 + 3) * 2.0
    assert asked.sample(protocol.Sample(1)).cpu_s == 3.0 + (1 + 3) * 2.0
    assert asked.sample(protocol.Sample(16)).cpu_s == 3.0 + (16 + 4) * 2.0
    assert asked.sample(protocol.Sample(1, warm=False)).cpu_s == 3.0 + 2.0


@pytest.mark.parametrize("held_up", range(12))
def test_a_sample_that_was_held_up_does_not_decide_how_many_steps_there_are(
    asked, monkeypatch, held_up
):
    """Of steps of 1 ms, 16 last 16 ms, whichever sample another process interrupts for 50 ms."""
    now, samples = [0.0], iter(range(100))

    def passes(seconds):
        now[0] += seconds

    monkeypatch.setattr(handler.clock, "now", lambda: now[0])
    monkeypatch.setattr(handler.gc, "collect", lambda: 0)
    asked.open(protocol.Open("some"))
    asked.backend.synchronise = lambda: None
    asked.prepared = SimpleNamespace(step=lambda: passes(0.001))
    sample = asked.sample

    def interrupted(what):
        if next(samples) == held_up:
            asked.backend.synchronise = lambda: passes(0.05)
        found = sample(what)
        asked.backend.synchronise = lambda: None
        return found

    monkeypatch.setattr(asked, "sample", interrupted)
    assert asked.calibrate(protocol.Calibrate(0.016)) == 16
