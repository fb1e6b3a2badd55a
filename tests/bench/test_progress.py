"""What is said of how far a run is, on a clock of its own."""

from keras_ab.bench.progress import Progress, Sparingly


class Clock:
    def __init__(self):
        self.s = 1000.0

    def now(self):
        return self.s

    def time_in(self, seconds):
        return f"in {seconds:g} s"


def progress(clock, trials=("a", "b", "c", "d")):
    return Progress(trials, clock.now, clock.time_in)


def test_nothing_is_reckoned_before_a_trial_was_measured():
    assert progress(Clock()).begin("a", "labels") == "trial 1 of 4: labels"


def test_what_is_left_follows_from_what_trials_took():
    clock = Clock()
    told = progress(clock)
    told.begin("a", "A")
    clock.s += 100
    assert told.elapsed_s == 100
    told.end()
    assert told.begin("b", "B") == "trial 2 of 4: B  (about 5 min left, until about in 300 s)"
    clock.s += 20
    told.end()
    assert told.done == "2 of 4 trials"
    assert told.begin("d", "D") == "trial 4 of 4: D  (about 60 s left, until about in 60 s)"


def test_trials_read_from_a_run_that_is_continued_do_not_count():
    clock = Clock()
    told = progress(clock)
    told.begin("a", "A")
    clock.s += 0.01  # it had been measured: `end` is not called
    assert "left" not in told.begin("b", "B")


def test_hours_are_told_as_hours():
    clock = Clock()
    told = progress(clock, tuple("abcdefgh"))
    told.begin("a", "A")
    clock.s += 1800
    told.end()
    assert "about 3.5 h left" in told.begin("b", "B")


def test_what_is_done_sparingly_takes_no_more_than_its_share():
    clock, done = Clock(), []

    def work():
        done.append(clock.s)
        clock.s += 3

    pages = Sparingly(0.1, clock.now)
    for _ in range(40):
        pages.do(work)
        clock.s += 10
    assert done[0] == 1000
    spent = 3 * len(done)
    assert spent <= 0.1 * (clock.s - 1000) + 3
    assert spent >= 0.1 * (clock.s - 1000) - 6
