"""The machine's ceilings: what is sampled, what a median's interval is, where it is kept."""

from pathlib import Path

import numpy as np
import pytest

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.ceilings import ceilings_in, rate
from keras_ab.bench.lab.judge.estimate import Middle, middle
from keras_ab.bench.lab.loop import ceilings, doctor
from keras_ab.bench.lab.loop.asking import WorkerLost
from keras_ab.bench.lab.loop.session import Session
from keras_ab.bench.lab.record.records import Ceiling
from keras_ab.bench.lab.record.run_file import read_run
from keras_ab.bench.lab.words.errors import LabError
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.worker import probes, protocol, wire
from keras_ab.bench.lab.worker.backends import plain_probes
from tests.bench.answers import METHODS

COPY = Ceiling(
    name="host_copy", unit="B/s", work=100, data_bytes=50, steps=2, samples_s=[4.0, 2.0, 8.0]
)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # P(B < 1) = 1/32 > 0.025 with 5 values; 1/64 with 6; with 11, P(B < 2) = 12/2048 is small
    # enough and P(B < 3) = 67/2048 is not
    [(3, 1, 3), (5, 1, 5), (6, 1, 6), (9, 2, 8), (11, 2, 10)],
)
def test_the_interval_of_a_median_by_hand(count, low, high):
    found = middle(list(range(count, 0, -1)), 0.95)
    assert found == Middle(low, (count + 1) / 2, high)


def test_the_interval_of_a_median_keeps_its_level():
    rng = np.random.default_rng(1)
    found = [middle(rng.exponential(size=11), 0.95) for _ in range(2000)]
    assert np.mean([m.low <= np.log(2) <= m.high for m in found]) >= 0.97  # exactly 0.988


def test_a_rate_is_work_by_time_and_a_latency_is_time():
    assert rate(COPY) == Middle(25.0, 50.0, 100.0)
    latency = COPY.model_copy(update={"unit": "s"})
    assert rate(latency) == Middle(1.0, 2.0, 4.0)


def test_an_array_leaves_the_caches_as_far_as_memory_allows():
    assert probes.beyond_caches_bytes(2**20, 2**40) == 2**28
    assert probes.beyond_caches_bytes(2**28, 2**40) == 2**30
    assert probes.beyond_caches_bytes(2**28, 2**30) == 2**27


def test_every_byte_that_a_copy_counts_is_copied(monkeypatch):
    copied = []
    monkeypatch.setattr(np, "copyto", lambda _target, source: copied.append(source.nbytes))
    probe = probes.copying(8 * 1001, times=3)
    probe.step()
    assert 2 * sum(copied) == probe.work == 2 * 3 * 8 * 1001


def test_a_product_of_matrices_is_counted_as_it_is_taught():
    probe = plain_probes.product(10)
    assert probe.work == 10 * 10 * (10 + 10)
    assert probe.step().shape == (10, 10)


class FakeWorker:
    """A probe of size k lasts 0.04 s times two to the k; there are five sizes."""

    def __init__(self, ends=False):
        self.asked = []
        self.stopped = False
        self.ends = ends

    def start(self):
        return self

    def stop(self):
        self.stopped = True

    def send(self, data):
        self.asked.append(wire.decode(data))

    def receive(self, _timeout_s):
        asked = self.asked[-1]
        if self.ends and isinstance(asked, protocol.PrepareProbe):
            raise WorkerLost("the process was killed by SIGKILL", "")
        return wire.encode_answer(getattr(self, METHODS[type(asked)])(asked))

    def list_probes(self, _asked):
        return {"host_copy": 5}

    def prepare_probe(self, asked):
        self.step_s = 0.04 * 2**asked.size
        return protocol.ProbeReady("B/s", 1e6, 8)

    def calibrate(self, _asked):
        return 3

    def sample(self, asked):
        return protocol.Sampled(asked.steps * self.step_s, 0.0, 0.0)


def test_a_probe_grows_until_it_lasts_long_enough_and_is_then_sampled():
    worker = FakeWorker()
    timer, copy = ceilings.measure(worker, "plain")
    assert timer.name == "timer_resolution"
    assert 0 < min(timer.samples_s) < 1e-3
    assert [r.size for r in worker.asked if isinstance(r, protocol.PrepareProbe)] == [0, 1, 2]
    assert copy.steps == 3
    assert copy.samples_s == pytest.approx([3 * 0.16] * ceilings.SAMPLES)
    assert worker.stopped


def test_a_probe_that_ends_its_process_is_an_error_in_three_parts():
    worker = FakeWorker(ends=True)
    with pytest.raises(LabError, match="host_copy: the process was killed by SIGKILL"):
        list(ceilings.measure(worker, "plain"))
    assert worker.stopped


def test_ceilings_are_kept_in_the_run_that_asked_for_them(tmp_path, monkeypatch):
    monkeypatch.setattr(ceilings, "measure", lambda _workers, _backend: iter([COPY]))
    for asked, kept in ((True, [COPY]), (False, [])):
        session = Session.begin(tmp_path, "plain", Plan(ceilings=asked))
        session.close(seal=True)
        run = read_run(Path(session.path))
        assert run.records == kept
        assert list(ceilings_in(run.records).values()) == kept


def test_ceilings_come_in_the_order_of_the_report():
    names = ("mine", "matmul_float32", "timer_resolution", "host_copy")
    found = ceilings_in([COPY.model_copy(update={"name": name}) for name in names])
    assert list(found) == ["timer_resolution", "host_copy", "matmul_float32", "mine"]


def test_the_doctor_shows_a_ceiling_with_its_interval():
    record = COPY.model_copy(update={"work": 2.0**31})
    assert str(doctor.at_best(record)) == (
        "✓ copy in host memory: 1.07 GB/s [0.537 GB/s, 2.15 GB/s]"
    )


def test_rates_are_written_with_their_prefix():
    assert text.quantity(3.1e12, "FLOP/s") == "3.10 TFLOP/s"
    assert text.quantity(250e9, "FLOP") == "250 GFLOP"
    assert text.quantity(12.0, "FLOP") == "12.0 FLOP"
    assert text.quantity(-4.5e3, "FLOP/s") == "−4.50 kFLOP/s"
