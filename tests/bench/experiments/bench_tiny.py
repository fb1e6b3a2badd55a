"""Two arms of plain Python that end at once: for tests of the lab and of the pytest door."""

from keras_ab import Arm, Case, Claim, Experiment, Guard, Prepared, Source


def summing(count):
    def build(case):
        numbers = range(count * case["scale"])
        return Prepared(lambda: float(sum(numbers)), {"weights_bytes": 8.0 * count}, observe)

    return build


def observe():
    return {"answer": [1.0, 2.0]}


EXPERIMENT = Experiment(
    name="tiny",
    question="Does summing twice as many numbers take longer?",
    method="Sums of ranges.",
    sources=(Source("A. Tester", "A test", 2024, "https://example.org"),),
    arms=(Arm("once", summing(500), "500 numbers"), Arm("twice", summing(1000), "1000 numbers")),
    cases=(Case({"scale": 1}), Case({"scale": 2}), Case({"scale": 50}, quick=False)),
    guards=(Guard("answer", 1e-6, "the same answer"),),
    claims=(
        Claim("slower", "Twice the work takes longer.", "twice", "step_time_s", at_least=1.0),
        Claim("smaller", "It also needs less memory.", "twice", "weights_bytes", at_most=0.9),
        Claim("device", "And less of the device.", "twice", "peak_device_memory_bytes", at_most=1),
    ),
    backends=("plain",),
)
