"""A measuring loop's clock, processes and workers that only say what they were asked."""

from pathlib import Path
from unittest.mock import patch

import numpy as np

from keras_ab.bench.lab.loop import arm_process
from keras_ab.bench.lab.loop.asking import WorkerLost, WorkerTimeout
from keras_ab.bench.lab.loop.gauges import Gauges
from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.words.steps import OperationShare, StepProfile, StepWork
from keras_ab.bench.lab.worker import protocol, wire
from tests.bench.answers import METHODS

NO_PROGRAM = wire.encode_trouble(protocol.Trouble("raised", "no program"))
NO_ROOM = wire.encode_trouble(protocol.Trouble("raised", "no room"))
TINY = str(Path(__file__).parent / "experiments" / "bench_tiny.py")


class FakeClock:
    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return self.seconds


class NoLoad:
    def begin(self):
        pass

    def others(self, workers_cpu_s):
        return workers_cpu_s


class FakeWorker:
    """Answers at once, unless it rests; a sample of `n` steps lasts what its arm takes."""

    pid = -1
    rests = False

    def __init__(self, lab):
        self.lab = lab
        self.arm = None
        lab.calls.append("start")

    def send(self, data):
        self.request = wire.decode(data)

    def answered(self, _timeout_s):
        return True

    def receive(self, timeout_s):
        kind = type(self.request)
        self.lab.limits_s[kind] = timeout_s
        if self.rests:
            raise WorkerTimeout
        self.arm = self.request.arm.arm if kind is protocol.Build else self.arm
        self.lab.calls.append("Open" if kind is protocol.Open else f"{kind.__name__} {self.arm}")
        return wire.encode_answer(getattr(self, METHODS[kind])(self.request))

    def open(self, asked):
        self.lab.opened.append(asked)
        self.counted, self.number, self.looks = asked.counted, len(self.lab.opened), 0

    def build(self, asked):
        self.lab.clock.seconds += self.lab.build_s
        if asked.observe_to:
            np.savez(asked.observe_to, answer=np.ones(2))
        notes = {"op on cpu": "native: built and loaded"}
        on_gpu = asked.arm.arm in self.lab.on_gpu
        return protocol.Built(1.0, 2.0, {"weights_bytes": 8.0}, notes, on_gpu)

    def calibrate(self, _asked):
        return self.lab.calibrated

    def sample(self, asked):
        self.lab.awake_in_samples.append(self.lab.awake - {self})
        self.lab.warm.append(asked.warm)
        cold_s = 0.0 if asked.warm else self.lab.cold_s
        lasts = asked.steps * self.lab.step_time_s(self.arm) + cold_s
        self.lab.clock.seconds += lasts
        return protocol.Sampled(lasts, lasts, 0.75 * lasts)

    def memory(self, _asked):
        self.looks += 1
        if self.number == self.lab.lost:
            raise WorkerLost("was killed", "")
        counts = self.counted and self.lab.counts
        return protocol.Peaks(10**6, 10**6 * self.number + self.looks if counts else None)

    def watch_memory(self, _asked):
        counts = self.counted and self.lab.counts
        return protocol.Curve([0.0, 1.0], [3, 4], [1, 2] if counts else None)

    def work(self, _asked):
        return StepWork({"float32": 4e6 * len(self.arm)}, 100.0)

    def trace(self, _asked):
        return None

    def traced(self, asked):
        return self.sample(protocol.Sample(asked.steps, asked.warm)).duration_s

    def end_trace(self, asked):
        self.lab.paces.append(asked.paces)
        operations = (OperationShare("MatMul", 2.0, 8e-3),)
        return protocol.Profiled(StepProfile(7, 0.01, 0.009, 2e-3, 1e-3, operations), None)

    def train(self, _asked):
        return {"score": 0.5}

    def imports(self, _asked):
        return {}

    def finish(self, _asked):
        return True

    def rest(self):
        self.rests = True
        self.lab.awake.discard(self)

    def wake(self):
        self.rests = False
        self.lab.awake.add(self)

    def output(self):
        return ""

    def stop(self):
        self.lab.calls.append(f"stop {self.arm}")


class FakeLab:
    folder = None

    def __init__(self, noise=0.0, build_s=0.0, twice_s=0.02):
        self.clock = FakeClock()
        self.calls = []
        self.awake, self.awake_in_samples = set(), []
        self._rng = np.random.default_rng(0)
        self._noise = noise
        self._twice_s = twice_s
        self.build_s = build_s
        self.calibrated = 7
        self.warm, self.cold_s = [], 0.0
        self.watts = None
        self.on_gpu = ()
        self.counts = False
        self.lost = 0
        self.opened = []
        self.slowed_s = []
        self.limits_s = {}
        self.paces = []

    def energy_j(self):
        """A counter that follows the clock, if the GPU has one."""
        return None if self.watts is None else self.clock.seconds * self.watts

    def gpu_state(self):
        """What NVML says of a GPU that is idle again whenever somebody looks."""
        if not self.on_gpu:
            return None
        slowed = {"power cap": self.slowed_s.pop(0) if self.slowed_s else 9.0}
        return {"sm_clock_hz": 1.5e9, "throttled": [], "slowed_s": slowed}

    def start(self):
        return FakeWorker(self)

    def step_time_s(self, arm):
        return {"twice": self._twice_s}.get(arm, 0.01) * float(
            np.exp(self._rng.normal(0, self._noise))
        )

    def run(self, plan, previous=(), device=None):
        task = Task(TINY, "tiny", "scale:1", "plain", plan)
        gauges = Gauges(self.clock.now, NoLoad(), self.gpu_state, self.energy_j, cores=2)
        with patch.object(arm_process, "memory_usage", lambda *_, **__: 1.0):  # not the test's own
            return list(measure_trial(task, self, previous, gauges, device=device))
