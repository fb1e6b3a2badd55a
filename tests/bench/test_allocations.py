"""What is alive at the peak of memory, on allocations made by hand."""

import pytest

from keras_ab.bench.lab.words.steps import AlivePieces
from keras_ab.bench.lab.worker.allocations import at_peak
from keras_ab.bench.lab.worker.backends import tensorflow_traces
from keras_ab.bench.lab.worker.tracing import SAMPLE, Allocation, Event, Trace

MARK = Event("python", SAMPLE, 10, 20)


def history(*steps, earlier=100):
    """Return allocations at one moment after the other: a size, or the address to take back."""
    in_use, sizes, found = earlier, {}, []
    for at, (address, size, operation) in enumerate(steps):
        in_use += size or -sizes.get(address, 0)
        sizes[address] = size
        found.append(Allocation(at, address, size, in_use, operation))
    return found


def test_what_was_taken_back_is_not_alive():
    allocations = history(
        *((n, 1000 * n, "Big") for n in range(1, 6)),
        *((n, 0, "") for n in range(1, 6)),
        (7, 40, "Relu"), (8, 40, "Relu"), (9, 8, "MatMul"), (8, 0, ""), (8, 16, "Sub"),
    )  # fmt: skip
    peak = at_peak(Trace([MARK], allocations))
    assert peak.in_use_bytes == 188
    assert peak.earlier_bytes == 100
    assert peak.alive == (AlivePieces("Relu", 2, 80), AlivePieces("MatMul", 1, 8))


def test_an_address_that_is_handed_out_again_counts_once():
    allocations = [Allocation(12, 1, 10, 10, "A"), Allocation(13, 1, 20, 20, "B")]
    assert at_peak(Trace([MARK], allocations)).alive == (AlivePieces("B", 1, 20),)


def test_without_allocations_in_a_sample_nothing_is_told():
    assert at_peak(Trace([MARK])) is None
    assert at_peak(Trace([MARK], [Allocation(25, 1, 10, 10, "A")])) is None


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("gradient_tape/block_6_1/conv2d_14_1/Relu_2", "Relu"),
        ("MatMul", "MatMul"),
        ("", "unnamed"),
    ],
)
def test_an_operation_is_named_by_its_kind(path, kind):
    assert tensorflow_traces.asker(path) == kind
