"""Write the StableHLO text of one call of a kernel, which TensorFlow's XlaCallModule runs."""

import functools
from dataclasses import dataclass

# Keras names to StableHLO's.
ELEMENT = {
    "float32": "f32",
    "bfloat16": "bf16",
    "float16": "f16",
    "int32": "i32",
    "int64": "i64",
}


@dataclass(frozen=True)
class Like:
    """A dimension as large as an operand's, known only when the graph runs."""

    operand: int
    axis: int


@dataclass(frozen=True)
class Tensor:
    """The type of an operand or result; None is a dimension unknown while tracing."""

    dims: tuple[int | Like | None, ...]
    dtype: str

    def text(self) -> str:
        """Return the MLIR spelling, such as tensor<?x10xf32>."""
        dims = [str(d) if isinstance(d, int) else "?" for d in self.dims]
        return f"tensor<{'x'.join([*dims, ELEMENT[self.dtype]])}>"


@dataclass(frozen=True)
class Call:
    """One call: what goes in and out, float64 attributes, and (operand, result) sharing memory."""

    target: str
    operands: tuple[Tensor, ...]
    results: tuple[Tensor, ...]
    attributes: tuple[tuple[str, float], ...] = ()
    aliases: tuple[tuple[int, int], ...] = ()

    @property
    def dynamic(self) -> bool:
        """Whether a result's shape is known only when the graph runs."""
        return any(not isinstance(d, int) for result in self.results for d in result.dims)


@functools.lru_cache(maxsize=256)
def module(call: Call) -> str:
    """Return the module that makes `call`, for a CPU and for CUDA.

    Attributes stand in `backend_config`; the older `mhlo.backend_config` is dropped by TF 2.21.
    """
    inputs = [f"%a{i}" for i in range(len(call.operands))]
    outputs = [f"%r#{i}" for i in range(len(call.results))]
    types_in = [operand.text() for operand in call.operands]
    types_out = ", ".join(result.text() for result in call.results)
    shapes = _shape_operands(call) if call.dynamic else []
    signature = ", ".join(f"{a}: {t}" for a, t in zip(inputs, types_in, strict=True))
    arguments = ", ".join([*inputs, *(shape.name for shape in shapes)])
    types = ", ".join([*types_in, *(shape.type for shape in shapes)])
    lines = [line for shape in shapes for line in shape.lines]
    return "\n".join(
        [
            "module @kernel attributes {jax.uses_shape_polymorphism = true} {",
            f"func.func public @main(%platform: tensor<i32>, {signature}) -> ({types_out}) {{",
            *lines,
            f"%r:{len(outputs)} = stablehlo.custom_call @{call.target}({arguments})"
            f" {{{_attributes(call, len(shapes))}}} : ({types}) -> ({types_out})",
            f"return {', '.join(outputs)} : {types_out}",
            "}",
            "}",
        ]
    )


def _attributes(call: Call, shapes: int) -> str:
    config = ", ".join(f"{name} = {value:.17e} : f64" for name, value in call.attributes)
    parts = ["api_version = 4 : i32", f"backend_config = {{{config}}}", _layouts(call, shapes)]
    if call.aliases:
        parts.append(f"output_operand_aliases = [{', '.join(map(_alias, call.aliases))}]")
    if shapes:
        first = len(call.operands)
        places = ", ".join(str(first + i) for i in range(shapes))
        parts.append(f"indices_of_shape_operands = dense<[{places}]> : tensor<{shapes}xi64>")
    return ", ".join(parts)


def _layouts(call: Call, shapes: int) -> str:
    """Return that every operand and result lies in row-major order, which the kernels count on.

    Without it XLA hands over whatever layout the operand has: on a GPU, convolution kernels and
    their gradients lie by their outputs. JAX's `ffi_call` says the same of its operands.
    """
    ranks_in = [len(operand.dims) for operand in call.operands] + [1] * shapes
    operands = ", ".join(map(_row_major, ranks_in))
    results = ", ".join(_row_major(len(result.dims)) for result in call.results)
    return f"operand_layouts = [{operands}], result_layouts = [{results}]"


def _row_major(rank: int) -> str:
    """Return the layout, the fastest axis first."""
    axes = f"[{', '.join(str(axis) for axis in reversed(range(rank)))}]" if rank else ""
    return f"dense<{axes}> : tensor<{rank}xindex>"


def _alias(pair: tuple[int, int]) -> str:
    operand, result = pair
    return (
        f"#stablehlo.output_operand_alias<output_tuple_indices = [{result}],"
        f" operand_index = {operand}, operand_tuple_indices = []>"
    )


@dataclass(frozen=True)
class _Shape:
    name: str
    type: str
    lines: tuple[str, ...]


def _shape_operands(call: Call) -> list[_Shape]:
    """Return one operand for each result that holds its shape; XLA drops it once it is known."""
    return [_shape_operand(call, i, result) for i, result in enumerate(call.results)]


def _shape_operand(call: Call, index: int, result: Tensor) -> _Shape:
    name, rank = f"%s{index}", len(result.dims)
    kind = f"tensor<{rank}xi32>"
    if rank == 0:
        return _Shape(name, kind, (f"{name} = stablehlo.constant dense<> : {kind}",))
    parts, lines = [], []
    for axis, dim in enumerate(result.dims):
        part = f"{name}_{axis}"
        parts.append(part)
        lines += _dimension(call, part, dim)
    joined = ", ".join(parts)
    kinds = ", ".join(["tensor<1xi32>"] * rank)
    lines.append(f"{name} = stablehlo.concatenate {joined}, dim = 0 : ({kinds}) -> {kind}")
    return _Shape(name, kind, tuple(lines))


def _dimension(call: Call, name: str, dim: int | Like | None) -> list[str]:
    if isinstance(dim, int):
        return [f"{name} = stablehlo.constant dense<{dim}> : tensor<1xi32>"]
    if dim is None:
        raise ValueError(
            "A result's dimension must be a number or Like(operand, axis); got None; "
            "say which operand it follows"
        )
    operand = call.operands[dim.operand].text()
    return [
        f"{name}_size = stablehlo.get_dimension_size %a{dim.operand}, dim = {dim.axis}"
        f" : ({operand}) -> tensor<i32>",
        f"{name} = stablehlo.reshape {name}_size : (tensor<i32>) -> tensor<1xi32>",
    ]
