"""Does wrapping custom code make a model's summary neater, and what does it cost?"""

from functools import partial
from typing import Any

from keras_ab import KERAS, Attempt, Built, Claim, Experiment, Guard, Params, arm, grid, sources
from keras_ab.bench.workloads import attending, reshaping


def flat(case: Params) -> Any:
    return attending.network(case, attending.with_operations)


def nested(case: Params) -> Any:
    return attending.network(case, attending.in_nested_model)


def layer(case: Params) -> Any:
    return attending.network(case, attending.in_one_layer)


def wrapper(case: Params) -> Any:
    return attending.network(case, in_wrapper)


def in_wrapper(x: Any, filters: int, name: str) -> Any:
    """Attend in a keras.layers.Wrapper around a model, as Addons' SpectralNormalization is one."""
    import keras

    class Wrapped(keras.layers.Wrapper):
        def call(self, inputs: Any) -> Any:
            return self.layer(inputs)

    inputs = keras.Input(x.shape[1:])
    inner = keras.Model(inputs, attending.with_operations(inputs, filters, name), name=name)
    return Wrapped(inner, name=f"{name}_wrapped")(x)


def shape_of_a_model() -> str | None:
    """Give a model the shape attribute that the tips say it lacks, by assignment."""
    import keras

    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    if hasattr(model, "shape"):
        return f"it has one: {model.shape}"
    model.shape = model.output.shape
    return None


def structure_of_a_layer() -> str | None:
    """Look in a model, and in its summary, for what stands inside a custom layer."""
    import keras

    class Block(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = keras.layers.Dense(4, name="within")

        def call(self, x: Any) -> Any:
            return self.inner(x)

    lines: list[str] = []
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Block()(inputs))
    model.summary(print_fn=lines.append, expand_nested=True)
    shown = "within" in "".join(lines) or any(layer.name == "within" for layer in model.layers)
    return "what is inside is listed" if shown else None


def nest_twice(name: str | None) -> None:
    """Call a function twice that makes a model of a name, or of none."""
    import keras

    def block(x: Any) -> Any:
        start = keras.Input(x.shape[1:])
        return keras.Model(start, keras.layers.Dense(4)(start), name=name)(x)

    inputs = keras.Input((4,))
    keras.Model(inputs, block(block(inputs)))


STEP = Built(sizes=reshaping.summary_lines)

EXPERIMENT = Experiment(
    name="wrap",
    question="Does wrapping custom code make a model's summary neater, and what does it cost?",
    method=(
        "A network of 2-D attention blocks, whose operations stand one by one in the model, or "
        "are wrapped block by block in a nested model, in a Wrapper or in a custom layer. "
        "Measured are the "
        "lines that model.summary() prints, and the time of a step."
    ),
    held_fixed="operations, first weights, images, batches and their order, optimizer",
    does_not_show=(
        "Whether a reader misses the lines that are gone. Building includes counting the lines."
    ),
    sources=(sources.TIPS, sources.PRINCIPLES),
    arms=(
        arm("flat", STEP, flat, "every operation in the model itself"),
        arm("nested", STEP, nested, "a nested keras.Model for each block"),
        arm("wrapper", STEP, wrapper, "a keras.layers.Wrapper for each block"),
        arm("layer", STEP, layer, "a custom layer for each block"),
    ),
    backends=KERAS,
    cases=(
        *grid(blocks=(2,), filters=(32,), batch=(64,), optimizer=("sgd",)),
        *grid(quick=False, blocks=(12,), filters=(64,), stride=(2,), batch=(128,)),
    ),
    guards=(
        Guard("loss", 1e-5, "same loss from the same weights"),
        Guard("gradients", 1e-4, "same gradients from the same weights"),
    ),
    metrics=(reshaping.SUMMARY_LINES,),
    attempts=(
        Attempt(
            "shape", "assign model.shape, for blocks that read their input's", shape_of_a_model
        ),
        Attempt(
            "hidden",
            "look for a custom layer's parts in model.layers and summary()",
            structure_of_a_layer,
        ),
        Attempt("unnamed", "nest two models without naming them", partial(nest_twice, None)),
        Attempt("one_name", "nest two models of one name", partial(nest_twice, "block")),
    ),
    claims=(
        Claim(
            id="neater",
            statement="With custom code wrapped in a model, the summary is neat: at most half as "
            "long.",
            arm="nested",
            metric="summary_lines",
            at_most=0.5,
        ),
        *(
            Claim(
                id=f"{name}-neater",
                statement=f"With custom code in a {title}, the summary is neat: at most half as "
                "long.",
                arm=name,
                metric="summary_lines",
                at_most=0.5,
            )
            for name, title in (("wrapper", "Wrapper"), ("layer", "Layer"))
        ),
        Claim(
            id="needs-names",
            statement="Nested models are not named by themselves: two that are not named cannot be "
            "nested.",
            arm="",
            attempt="unnamed",
            works=False,
        ),
        Claim(
            id="refuses-two-of-a-name",
            statement="Keras refuses two nested models of one name.",
            arm="",
            attempt="one_name",
            works=False,
        ),
        Claim(
            id="layer-hides-structure",
            statement="A custom layer hides the structure of a block: neither model.layers nor the "
            "summary lists its parts.",
            arm="",
            attempt="hidden",
            source=sources.PRINCIPLES,
        ),
        Claim(
            id="shape-patch",
            statement="A nested model can be given the shape attribute that it lacks.",
            arm="",
            attempt="shape",
        ),
    ),
)
