"""The work of a program, read from XLA's HLO text: operations of its products, bytes it must move.

Source: XLA, Operation semantics, https://openxla.org/xla/operation_semantics (Dot,
ConvGeneralDilated).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from keras_ab.bench.lab.words.errors import NotMeasuredHere
from keras_ab.bench.lab.words.steps import StepWork

TYPES = {"f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64"}
"""Types of products that count; products of integers are no floating-point operations."""

NAMING = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "reshape", "call")
"""Operations that make nothing new: they name what is there, or put it together."""

_SHAPE = re.compile(r"\b(pred|token|[a-z]+\d+[a-z0-9]*)\[([\d,<= ]*)\]")
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.-]+) = (\(.*?\)|\S+) ([a-z][\w-]*)\((.*)")
_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.-]+) .*\{\s*$")
_CALLED = re.compile(r"\b(?:to_apply|calls)=%?([\w.-]+)")
_REPEATED = re.compile(
    r"\b(?:body|condition|true_computation|false_computation)=%?([\w.-]+)"
    r"|\bbranch_computations=\{([^}]*)\}"
)


@dataclass(frozen=True)
class Shape:
    """An array's type and its axes."""

    type: str
    axes: tuple[int, ...]

    @property
    def nbytes(self) -> float:
        """The bytes that it takes."""
        bits = re.search(r"\d+", self.type)
        width = int(bits[0]) / 8 if bits else 0.0 if self.type == "token" else 1.0
        return width * math.prod(self.axes)


@dataclass(frozen=True)
class _Instruction:
    """One line of a computation: what it makes, of what, and how."""

    name: str
    made: list[Shape]
    operation: str
    operands: list[str]
    attributes: str
    is_root: bool


_Computation = dict[str, _Instruction]


def shapes(text: str) -> list[Shape]:
    """Return every shape that a piece of HLO text names, in order."""
    return [
        Shape(kind, tuple(int(axis.strip("<= ")) for axis in axes.split(",") if axis))
        for kind, axes in _SHAPE.findall(text)
    ]


def count(module: str) -> StepWork:
    """Return the work of a module in HLO text, not yet optimised; what nobody uses is left out.

    Raises:
        NotMeasuredHere: where a product stands in a loop or a branch, whose turns the text does
            not tell.
    """
    computations, entry = _read(module)
    flop: Counter[str] = Counter()
    for computation, instruction in _reached(computations, entry):
        if instruction.operation in ("dot", "convolution"):
            left, right = (computation[name].made[0] for name in instruction.operands[:2])
            flop[left.type] += product_flop(left, right, instruction)
    layout = re.search(r"entry_computation_layout=\{(.*)\}", module.partition("\n")[0])
    moved = sum(shape.nbytes for shape in shapes(layout[1])) if layout else 0.0
    return StepWork({TYPES[kind]: float(n) for kind, n in flop.items() if kind in TYPES}, moved)


def operations(module: str) -> Counter[str]:
    """Return how many elements each kind of operation makes; what only names something makes none.

    For arms that are to do the same: what nobody uses is left out, and what stands in a loop or a
    branch too.
    """
    computations, entry = _read(module)
    made: Counter[str] = Counter()
    for _, instruction in _reached(computations, entry):
        if instruction.operation not in NAMING:
            made[instruction.operation] += sum(math.prod(shape.axes) for shape in instruction.made)
    return made


def _read(module: str) -> tuple[dict[str, _Computation], str]:
    """Return the computations of a module by name, and the name of its entry."""
    computations: dict[str, _Computation] = {}
    current = entry = ""
    for line in module.splitlines()[1:]:
        if found := _INSTRUCTION.match(line):
            root, name, made, operation, rest = found.groups()
            inside, _, attributes = rest.partition(", metadata={")[0].partition(")")
            known = computations[current]
            words = re.findall(r"[\w.-]+", inside + attributes)
            operands = [word for word in words if word in known]
            known[name] = _Instruction(
                name, shapes(made), operation, operands, attributes, bool(root)
            )
        elif found := _COMPUTATION.match(line):
            current = found[2]
            computations[current] = {}
            entry = current if found[1] else entry
    return computations, entry


def _used(computation: _Computation) -> Iterator[_Instruction]:
    """Yield the instructions that the result depends on, the last of them first."""
    used: set[str] = set()
    for instruction in reversed(computation.values()):
        if instruction.is_root or instruction.name in used:
            used.update(instruction.operands)
            yield instruction


def _reached(
    computations: dict[str, _Computation], name: str
) -> Iterator[tuple[_Computation, _Instruction]]:
    """Yield what is used of a computation and of those that it calls, once for each call."""
    for instruction in _used(computations[name]):
        yield computations[name], instruction
        for other in _CALLED.findall(instruction.attributes):
            yield from _reached(computations, other)
        for one, several in _REPEATED.findall(instruction.attributes):
            for other in [one] if one else re.findall(r"[\w.-]+", several):
                _refuse_products(computations, other)


def _refuse_products(computations: dict[str, _Computation], name: str) -> None:
    if any(found.operation in ("dot", "convolution") for _, found in _reached(computations, name)):
        raise NotMeasuredHere(
            "the work of a step can be read from its program",
            "a loop or a branch around matrix products, whose turns are not told",
            "nothing: time and memory are measured all the same",
        )


def product_flop(left: Shape, right: Shape, product: _Instruction) -> int:
    """Return twice the multiplications of a product: each is added to a sum."""
    one = _dot if product.operation == "dot" else _convolution
    return 2 * one(left, right, product.made[0], product.attributes)


def _dot(left: Shape, right: Shape, result: Shape, attributes: str) -> int:
    """Return ``|result| · Π contracted axes``."""
    contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", attributes)
    axes = [int(axis) for axis in contracted[1].split(",") if axis] if contracted else []
    return math.prod(result.axes) * math.prod(left.axes[axis] for axis in axes)


def _convolution(left: Shape, right: Shape, result: Shape, attributes: str) -> int:
    """Return ``batch · features out · features in · Π taps``, the taps that meet an input.

    A tap on padding, or on a hole of a dilated input, multiplies nothing: so the gradients of a
    convolution count as much as itself. The features that go into one output are those of the
    kernel, whatever the groups.
    """
    labels = re.findall(r"[\dbfio]+", attributes.partition("dim_labels=")[2])[:3]
    inputs, kernel, outputs = (
        dict(zip(axes, shape.axes, strict=True))
        for axes, shape in zip(labels, (left, right, result), strict=True)
    )
    window = _window(attributes)
    counts = (
        _taps(
            inputs[x], kernel[x], outputs[x], {name: axes[int(x)] for name, axes in window.items()}
        )
        for x in outputs
        if x.isdigit()
    )
    return outputs["b"] * outputs["f"] * kernel["i"] * math.prod(counts)


def _window(attributes: str) -> dict[str, list[str]]:
    """Return a convolution's ``window={stride=2x2 pad=0_1x0_1}`` by name, a text an axis."""
    found = re.search(r"window=\{([^}]*)\}", attributes)
    parts = (part.partition("=") for part in found[1].split()) if found else ()
    return {name: axes.split("x") for name, _, axes in parts}


def _taps(places_in: int, taps: int, places_out: int, window: dict[str, str]) -> int:
    """Return how many pairs of a tap and an output place meet an input, along one axis."""
    stride, spread, apart = (
        int(window.get(name, "1")) for name in ("stride", "rhs_dilate", "lhs_dilate")
    )
    low = int(window.get("pad", "0").partition("_")[0])
    reached = (
        place * stride + tap * spread - low for place in range(places_out) for tap in range(taps)
    )
    return sum(0 <= at <= (places_in - 1) * apart and at % apart == 0 for at in reached)
