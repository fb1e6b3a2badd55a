"""When the metric is computed, and how often: as the sources' callbacks do it."""

import pytest

from keras_ab.bench import bench_metrics_and_callbacks as bench

CASE = {"warm_up": 100, "epochs": 50, "steps": 1, "batch": 8, "kept": 8, "width": 4}


def by_the_source(epoch, epochs_warm_up=100, skip_epochs=50):
    """The condition in the source's callback, line 261, written out."""
    return (epoch + 1) >= epochs_warm_up and (epoch + 1 - epochs_warm_up) % skip_epochs == 0


def test_due_is_the_sources_condition_after_its_warm_up():
    after = range(99, 400)
    assert [bench.due(e, 50) for e in after] == [by_the_source(e) for e in after]


@pytest.mark.parametrize(("every", "times"), [(1, 50), (10, 5), (50, 1)])
def test_the_metric_is_computed_as_often_as_said(every, times):
    computed = []

    def evaluator(model, kept):
        def evaluate():
            computed.append(1)
            return 0.5

        return evaluate

    prepared = bench.prepare(lambda *given: bench.skipping(every, evaluator, *given), CASE)
    prepared.step()
    assert len(computed) == times


def test_every_tenth_epoch_is_held_against_each_epoch():
    claim = next(c for c in bench.EXPERIMENT.claims if c.id == "every-tenth-epoch")
    assert (claim.arm, claim.against) == ("tenth_epoch", "each_epoch")
