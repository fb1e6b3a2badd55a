"""Two arms that differ by one tensor of known size, held while the step runs."""

from keras_ab import Arm, Case, Experiment, Prepared, Source

ELEMENTS = 3_000_000
TENSOR_BYTES = 4 * ELEMENTS
"""No multiple of a power of two, so that a chunk that was handed out whole would show."""


def holding(count):
    def build(_case):
        import tensorflow as tf

        held = [tf.zeros([ELEMENTS]) for _ in range(count)]
        axis = tf.constant([0])

        def step():
            """Hand over no number of Python's: TensorFlow copies it or not, as its memory lies."""
            return tf.raw_ops.Sum(input=tf.square(held[-1]), axis=axis)

        return Prepared(step)

    return build


EXPERIMENT = Experiment(
    name="tensor",
    question="Is peak device memory counted to the byte?",
    method="One arm holds one more tensor.",
    sources=(Source("A. Tester", "A test", 2024, "https://example.org"),),
    arms=(Arm("one", holding(1), "one tensor"), Arm("two", holding(2), "two tensors")),
    cases=(Case({}),),
)
