"""What NVRTC makes of the CUDA sources, read from the machine code: no GPU is needed.

``python -m tests.kernels.native.machine_code`` prints three tables in Markdown: that, the bytes
that each kernel moves (traffic.py) and the blocks of its launches (launch_sizes.py). With
``--fill`` it writes them into kernels/native/README.md. It needs NVRTC, and ``cuobjdump`` and
``nvdisasm`` on the path: NVIDIA's wheels ``nvidia-cuda-cuobjdump`` and ``nvidia-cuda-nvdisasm`` put
them into ``site-packages/nvidia/cu13/bin``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from keras_ab.kernels.native import build, device_code
from tests.kernels.native import launch_sizes, traffic
from tests.kernels.native.emulator import counting
from tests.studies.tables import ROOT, fill

PAGE = ROOT / "kernels" / "native" / "README.md"
CAPABILITIES = (80, 90, 120)
THREADS = {80: 2048, 90: 2048, 120: 1536}
"""That a multiprocessor holds at most. Source: CUDA C++ Programming Guide, compute capabilities."""

HEAD = ("kernel", "registers", "spilled", "occupancy", "bits a load", "float64", "of these slow")
OF_PARTS = 64
"""Bits of a load of a partial sum, a double: loops over them go over no tensor's elements."""

BLOCK, REGISTERS = 256, 65536
"""Threads of a launch; registers of a multiprocessor."""

_INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)([^;]*);")
_DOUBLE = re.compile(r"D(ADD|MUL|FMA|SETP|MNMX)|MUFU\.R\w+64H|F2F\.F64|F2F\.\w+\.F64|I2F\.F64")
_SLOW_DOUBLE = re.compile(r"MUFU\.R\w+64H")
_WIDTH = {"U8": 8, "S8": 8, "U16": 16, "S16": 16, "64": 64, "128": 128}


@dataclass(frozen=True)
class Instruction:
    """One instruction: where it stands, what it is, and where it jumps to, if anywhere."""

    at: int
    operation: str
    target: int | None


@dataclass(frozen=True)
class Kernel:
    """What the machine code of one kernel shows.

    Args:
        name: of it.
        capability: of the GPUs that it is for; 90 is 9.0.
        registers: of a thread.
        spilled_bytes: of a thread, in local memory.
        load_bits: of the widest load from global memory in a loop; 0 where none has any.
        doubles: double-precision instructions in element loops: those without a loop in them that
            load elements of tensors from global memory.
        slow_doubles: those of them that begin a division or a root.
    """

    name: str
    capability: int
    registers: int
    spilled_bytes: int
    load_bits: int
    doubles: int
    slow_doubles: int

    @property
    def occupancy(self) -> float:
        """The share of a multiprocessor's threads that its registers allow."""
        of_a_block = -(-self.registers // 8) * 8 * BLOCK
        return min(1.0, REGISTERS // of_a_block * BLOCK / THREADS[self.capability])


def instructions(listing: str) -> list[Instruction]:
    """Return what ``cuobjdump -sass`` lists of one kernel."""
    found = []
    for at, operation, rest in _INSTRUCTION.findall(listing):
        jumps = re.search(r"0x([0-9a-f]+)", rest) if operation.startswith("BRA") else None
        found.append(Instruction(int(at, 16), operation, int(jumps[1], 16) if jumps else None))
    return found


def innermost_loops(code: Sequence[Instruction]) -> list[list[Instruction]]:
    """Return the instructions of each loop that has no other in it: a jump back ends one."""
    spans = {(i.target, i.at) for i in code if i.target is not None and i.target < i.at}
    inner = [
        (start, end)
        for start, end in spans
        if not any(
            other != (start, end) and start <= other[0] and other[1] <= end for other in spans
        )
    ]
    return [[i for i in code if start <= i.at <= end] for start, end in sorted(inner)]


def load_bits(operation: str) -> int:
    """Return how many bits a load from global memory moves; 0 for what is none."""
    name, *parts = operation.split(".")
    if name != "LDG":
        return 0
    return next((_WIDTH[part] for part in parts if part in _WIDTH), 32)


def is_of_elements(loop: Sequence[Instruction]) -> bool:
    """Tell whether a loop loads elements of tensors, 16, 32 or 128 bits at once."""
    return bool({load_bits(i.operation) for i in loop} - {0, OF_PARTS})


def read(name: str, capability: int, usage: str, listing: str) -> Kernel:
    """Return what a line of ``-res-usage`` and a listing tell of a kernel."""
    used = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)}
    loops = innermost_loops(instructions(listing))
    of_loops = [i.operation for loop in loops for i in loop]
    of_elements = [i.operation for loop in loops if is_of_elements(loop) for i in loop]
    return Kernel(
        name=name,
        capability=capability,
        registers=used["REG"],
        spilled_bytes=used["STACK"] + used["LOCAL"],
        load_bits=max(map(load_bits, of_loops), default=0),
        doubles=sum(bool(_DOUBLE.match(operation)) for operation in of_elements),
        slow_doubles=sum(bool(_SLOW_DOUBLE.match(operation)) for operation in of_elements),
    )


def kernels(cubin: Path, capability: int) -> Iterator[Kernel]:
    """Yield what a cubin has, kernel by kernel."""
    usage = dict(re.findall(r"Function (\w+):\s*\n(.*)", _dump("-res-usage", cubin)))
    parts = re.split(r"Function : (\w+)", _dump("-sass", cubin))[1:]
    for name, listing in zip(parts[::2], parts[1::2], strict=True):
        yield read(name.removeprefix("kab_cuda_kernel_"), capability, usage[name], listing)


def _dump(option: str, cubin: Path) -> str:
    command = ["cuobjdump", option, str(cubin)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def all_kernels(capabilities: Sequence[int] = CAPABILITIES) -> Iterator[Kernel]:
    """Compile every source for every capability and yield what comes out."""
    compiler = device_code.nvrtc()
    with TemporaryDirectory() as folder:
        for unit in device_code.UNITS:
            source = (build.SOURCES / f"{unit}.cu").read_text()
            for capability in capabilities:
                path = Path(folder) / f"{unit}-{capability}.cubin"
                path.write_bytes(device_code.compile_source(source, capability, compiler))
                yield from kernels(path, capability)


def table(found: Sequence[Kernel]) -> str:
    """Return the table in Markdown: a row for each kernel, a number for each capability."""
    rows = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    for name in dict.fromkeys(kernel.name for kernel in found):
        own = [kernel for kernel in found if kernel.name == name]
        columns = (
            [k.registers for k in own],
            [k.spilled_bytes for k in own],
            [f"{k.occupancy:.0%}" for k in own],
            [k.load_bits for k in own],
            [k.doubles for k in own],
            [k.slow_doubles for k in own],
        )
        cells = (_alike(values) for values in columns)
        rows.append(f"| {name} | {' | '.join(cells)} |")
    capabilities = " / ".join(f"sm_{each}" for each in dict.fromkeys(k.capability for k in found))
    return "\n".join([*rows, "", f"{compiled_by()}'s code for {capabilities}."])


def compiled_by() -> str:
    """Return the name and version of what compiles."""
    major, minor = device_code.version(device_code.nvrtc())
    return f"NVRTC {major}.{minor}"


def _alike(values: Sequence[object]) -> str:
    told = [str(value) for value in values]
    return told[0] if len(set(told)) == 1 else " / ".join(told)


def main(arguments: Sequence[str] = ()) -> int:
    """Print the tables, or write them into the page."""
    made = {
        "machine_code": table(list(all_kernels())),
        "traffic": traffic.table(traffic.counted_apart()),
    }
    with counting() as emulator:
        sizes = launch_sizes.launched(emulator.cuda, emulator.handlers, emulator.driver)
        made["launch_sizes"] = launch_sizes.table(sizes)
    print("\n\n".join(made.values()))
    if "--fill" in arguments:
        for name, each in made.items():
            fill(PAGE, name, f"{each}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
