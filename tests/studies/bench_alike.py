"""Ten arms that are alike, on a recurrent model that no other test trains."""

from keras_ab import Arm, Case, Experiment, Prepared
from keras_ab.bench.workloads.identical import TRAINING

ARMS = 10


def recurrent_step(case):
    """Prepare a training step of a GRU on random sequences."""
    import keras
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    batch = tf.constant(rng.normal(size=(32, 24, 16)).astype("float32"))
    labels = tf.constant(rng.integers(10, size=32))
    model = keras.Sequential([keras.Input((24, 16)), keras.layers.GRU(32), keras.layers.Dense(10)])
    model.compile("rmsprop", keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    @tf.function
    def trained():
        model.train_step((batch, labels))

    def step():
        trained()

    return Prepared(step)


EXPERIMENT = Experiment(
    name="alike",
    question="Are arms that are alike told apart?",
    method="Every arm trains the same GRU on the same batch.",
    sources=TRAINING.sources,
    arms=tuple(Arm(f"alike_{n}", recurrent_step, "a GRU") for n in range(ARMS + 1)),
    cases=tuple(Case({"run": n}) for n in range(6)),
)
