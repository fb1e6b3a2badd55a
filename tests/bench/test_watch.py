"""Memory over time: who is looked at, when, and what is kept of it."""

import sys
import threading

import pytest

from keras_ab.bench.lab.worker.watch import THREAD, Look, Watch, thinned, watching


def test_a_watch_begins_before_the_work_and_ends_after_it():
    used, seen = [100], threading.Event()

    def device_bytes():
        if used[0] == 500:
            seen.set()
        return used[0]

    ticks = iter(range(10**9))
    interval = sys.getswitchinterval()
    watch = Watch(device_bytes, now=lambda: float(next(ticks)), host_bytes=lambda: 7)
    with watching(watch) as looks:
        used[0] = 500
        assert seen.wait(30)
        used[0] = 200
    assert looks[0].device_bytes == 100
    assert max(look.device_bytes for look in looks) == 500
    assert looks[-1].device_bytes == 200
    assert [look.at_s for look in looks] == sorted(look.at_s for look in looks)
    assert {look.host_bytes for look in looks} == {7}
    assert sys.getswitchinterval() == interval


def test_a_watch_ends_when_the_work_fails():
    with pytest.raises(MemoryError), watching(Watch(lambda: None, host_bytes=lambda: 1)):
        raise MemoryError
    assert THREAD not in {thread.name for thread in threading.enumerate()}


def test_thinning_keeps_the_peaks():
    looks = [Look(float(t), 1, 10**6 if t in (3, 777) else t) for t in range(1000)]
    kept = thinned(looks, 50)
    assert len(kept) == 50
    assert {look.at_s for look in kept} >= {3.0, 777.0}
    assert thinned(looks[:50], 50) == looks[:50]


def test_without_a_count_of_the_device_the_host_decides():
    looks = [Look(float(t), 9 if t == 5 else 1, None) for t in range(20)]
    assert any(look.host_bytes == 9 for look in thinned(looks, 2))
