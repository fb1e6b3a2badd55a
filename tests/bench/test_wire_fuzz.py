"""Whatever a worker answers is an answer of the declared type, or why there is none."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_ab.bench.lab.loop.asking import NoAnswer, ask
from keras_ab.bench.lab.worker import protocol, wire
from tests.examples import examples

ARM = protocol.ArmNames("file", "experiment", "arm", "case", "plain")
REQUESTS = (
    protocol.Open("plain"),
    protocol.Facts("plain"),
    protocol.Build(ARM, 1),
    protocol.Calibrate(0.01),
    protocol.Sample(3),
    protocol.Memory(),
    protocol.WatchMemory(2),
    protocol.Work(),
    protocol.Trace("folder"),
    protocol.Traced(1, 1),
    protocol.EndTrace(1, [1.0]),
    protocol.Imports(),
    protocol.Finish(),
    protocol.Try("file", "experiment", "attempt", "plain", 1),
    protocol.Train(ARM, 1, 0.1, tuning=True),
    protocol.ListProbes("plain"),
    protocol.PrepareProbe("probe", 0),
)
"""One of each kind."""
ASKED = st.sampled_from(REQUESTS)
KEYS = sorted(
    {field for kind in (protocol.Built, protocol.Sampled, protocol.Peaks, protocol.Curve,
                        protocol.Profiled, protocol.ProbeReady, protocol.Trouble)
     for field in kind.__dataclass_fields__}
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["a" * 64, "raised", "B/s", "not measured here", "\ud800"])
)
ANSWERS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)
FUZZ = settings(max_examples=examples(300), suppress_health_check=[HealthCheck.too_slow])


class Answering:
    """A worker that answers any request by the same bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def send(self, _data):
        pass

    def receive(self, _limit_s):
        return self.data

    def output(self):
        return ""


def outcome(request, data):
    """Return an answer, or the error that a trial records: nothing else is raised."""
    try:
        return ask(Answering(data), request, 1.0)
    except NoAnswer as why:
        found = why
    assert found.what in ("raised", "not measured here")
    found.message.encode()
    found.traceback.encode()
    return found


def test_there_is_an_example_of_every_request():
    assert {type(asked) for asked in REQUESTS} == set(protocol.REQUESTS)


@FUZZ
@given(request=ASKED, first=st.sampled_from([b"A", b"T", b"", b"X"]), answer=ANSWERS)
def test_any_json_is_an_answer_or_a_trouble(request, first, answer):
    outcome(request, first + json.dumps(answer).encode())


@FUZZ
@given(request=ASKED, data=st.binary(max_size=200))
def test_any_bytes_are_a_trouble_or_an_answer(request, data):
    outcome(request, data)
    outcome(request, b"A" + data)


@FUZZ
@given(data=st.binary(max_size=200))
def test_an_answer_of_the_wrong_kind_has_its_parts(data):
    if isinstance(found := outcome(protocol.Sample(1), data), NoAnswer) and found.refusal:
        assert found.refusal.must
        assert found.refusal.do


@FUZZ
@given(request=ASKED)
def test_every_request_survives_the_wire(request):
    assert wire.decode(wire.encode(request)) == request
