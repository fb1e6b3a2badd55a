"""What a step's peak is where the framework cannot forget an earlier one, on a fake allocator."""

import pytest

from keras_ab.bench.lab.worker.backends import jax as backend

pytest.importorskip("jax")


class Allocator:
    """Counts as JAX's does; what is asked for comes in whole pages."""

    PAGE = 256

    def __init__(self, limit):
        self.limit, self.now, self.peak = limit, 0, 0

    def take(self, size):
        taken = -(-size // self.PAGE) * self.PAGE
        self.now += taken
        self.peak = max(self.peak, self.now)
        return taken

    def statistics(self):
        return {
            "bytes_in_use": self.now, "peak_bytes_in_use": self.peak, "bytes_limit": self.limit,
        }  # fmt: skip


@pytest.fixture
def allocator(monkeypatch):
    import jax
    import jax.numpy as jnp

    made = Allocator(limit=10_000 * Allocator.PAGE)

    class Device:
        memory_stats = staticmethod(made.statistics)

    class Held:
        def __init__(self, size):
            self.taken = made.take(size)

        def block_until_ready(self):
            return self

        def __del__(self):
            made.now -= self.taken

    monkeypatch.setattr(jax, "local_devices", lambda: [Device])
    monkeypatch.setattr(jnp, "zeros", lambda count, _dtype: Held(4 * count))
    yield made
    backend.BALLAST.array = None


def step(allocator, scratch):
    """Take and give back what a step needs for itself."""
    taken = allocator.take(scratch)
    allocator.now -= taken


def test_a_peak_of_autotuning_is_not_the_steps(allocator):
    model = allocator.take(1000)
    step(allocator, 50_000)  # what autotuning tried out
    backend.reset_peak_memory()
    step(allocator, 2000)
    assert backend.peak_memory_bytes() == model + 2048
    backend.reset_peak_memory()
    step(allocator, 700)
    assert backend.peak_memory_bytes() == model + 768


def test_a_step_that_is_the_peak_is_counted_as_it_is(allocator):
    model = allocator.take(1000)
    backend.reset_peak_memory()
    step(allocator, 2000)
    assert backend.peak_memory_bytes() == model + 2048


def test_without_room_for_the_ballast_nothing_is_told(allocator):
    allocator.take(1000)
    step(allocator, allocator.limit * 3 // 4)
    backend.reset_peak_memory()
    step(allocator, 2000)
    assert backend.peak_memory_bytes() is None


def test_on_the_cpu_nobody_counts(monkeypatch):
    backend.reset_peak_memory()
    assert backend.peak_memory_bytes() is None
