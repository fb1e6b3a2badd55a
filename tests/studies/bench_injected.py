"""Training steps, and the same with one more to every 33: exactly 3 % more work."""

from keras_ab import Arm, Case, Experiment, Prepared, Recipe
from keras_ab.bench.workloads.classifier import MANY_CLASSES
from keras_ab.bench.workloads.identical import TRAINING as IDENTICAL


def training_steps(count):
    """Return a function that prepares `count` training steps in one graph, as one step."""

    def build(_case):
        import tensorflow as tf

        case = {"batch": 32, "width": 64}
        model = MANY_CLASSES.compiled(Recipe(), case)
        inputs, labels = MANY_CLASSES.data(case)
        batch = tf.constant(inputs[:32]), tf.constant(labels[:32])

        @tf.function
        def steps():
            for _ in tf.range(count):
                model.train_step(batch)

        def step():
            steps()

        return Prepared(step)

    return build


EXPERIMENT = Experiment(
    name="injected",
    question="Is 3 % more work found?",
    method="One training step is added to 33 that run in one graph.",
    sources=IDENTICAL.sources,
    arms=(
        Arm("plain", training_steps(33), "33 training steps"),
        Arm("more", training_steps(34), "34 training steps"),
    ),
    cases=(Case({}),),
)
EMPTY = Experiment(
    name="empty",
    question="What does timing itself cost?",
    method="A step that does nothing.",
    sources=IDENTICAL.sources,
    arms=(
        Arm("empty", lambda _case: Prepared(lambda: None), "nothing"),
        Arm("as_empty", lambda _case: Prepared(lambda: None), "nothing"),
    ),
    cases=(Case({}),),
)
