"""Compile the kernels once for each set of sources, flags, compiler and FFI headers.

Nothing here imports a framework: the headers are found without it.
"""

import hashlib
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from keras_ab.kernels.native import cache
from keras_ab.kernels.native.errors import NotAvailable

SOURCES = Path(__file__).with_name("src")
# No -ffast-math and no -ffinite-math-only: the latter swallowed NaN. No -march=native: the clones
# in number.h choose at load time, so that machines may share a cache.
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-shared",
    "-pthread",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fopenmp-simd",
    "-fvisibility-inlines-hidden",
    "-w",
)
FFI_HEADERS = ("c_api.h", "api.h", "ffi.h")
COMPILERS = ("g++", "clang++", "c++")
CPU_FACTS = ("model name", "flags", "CPU part", "Features")


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler: how to call it, and what it says it is."""

    command: tuple[str, ...]
    version: str


def library() -> Path:
    """Return the shared library, built where the cache lacks it (about 15 s on 2 cores).

    Raises:
        NotAvailable: With the reason and what to do.
    """
    check_platform()
    headers, found = ffi_headers(), compiler()
    name = f"kernels-{digest(found, headers)[:20]}.so"
    return cache.kept(name, lambda path: compile_to(path, found, headers))


def check_platform() -> None:
    """Raise NotAvailable where the library has no build."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in {"x86_64", "aarch64"}:
        raise NotAvailable.because(
            "Native kernels need Linux on x86-64 or aarch64",
            f"{sys.platform} on {machine}",
            'Use kernels.use("reference") here.',
        )


def compiler() -> Compiler:
    """Return `$CXX`, or the first compiler on the path, having asked for its version."""
    asked = shlex.split(os.environ.get("CXX", ""))
    candidates = [asked] if asked else [[name] for name in COMPILERS]
    for command in candidates:
        if shutil.which(command[0]):
            return Compiler(tuple(command), _version(command))
    tried = ", ".join(command[0] for command in candidates)
    raise NotAvailable.because(
        "Native kernels need a C++17 compiler",
        f"none ({tried} not on the path)",
        "Install one (Debian: apt install g++), or set CXX.",
    )


def _version(command: list[str]) -> str:
    done = _run([*command, "--version"])
    if done.returncode:
        raise _broken(command, done)
    return done.stdout


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the user's compiler
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def _broken(command: list[str], done: subprocess.CompletedProcess[str]) -> NotAvailable:
    said = (done.stderr or done.stdout).strip()[-2000:] or "no message"
    return NotAvailable.because(
        "The C++ compiler must compile the kernels",
        f"exit status {done.returncode} from {shlex.join(command)}: {said}",
        "Install a working compiler with its C++ headers, or name another in CXX.",
    )


def ffi_headers() -> Path:
    """Return the include directory of the oldest XLA FFI among the installed frameworks.

    A runtime refuses a library built against a newer minor version than its own (TensorFlow 2.21
    has 0.2, jaxlib 0.10 has 0.3) and accepts an older one.
    """
    found = [path for path in _include_directories() if (path / "xla/ffi/api/ffi.h").exists()]
    if not found:
        raise NotAvailable.because(
            "Native kernels need XLA's FFI headers",
            "neither TensorFlow nor jaxlib with them",
            "Install tensorflow==2.21.* or jax.",
        )
    return min(found, key=ffi_version)


def _include_directories() -> list[Path]:
    specs = [importlib.util.find_spec(name) for name in ("tensorflow", "jaxlib")]
    places = [spec.submodule_search_locations or [] for spec in specs if spec]
    return [Path(place, "include") for each in places for place in each]


def ffi_version(include: Path) -> tuple[int, ...]:
    """Return (major, minor) of the FFI under `include`."""
    text = (include / "xla/ffi/api/c_api.h").read_text()
    return tuple(
        int(number)
        for part in ("MAJOR", "MINOR")
        for number in re.findall(rf"#define XLA_FFI_API_{part} (\d+)", text)
    )


def digest(found: Compiler, headers: Path) -> str:
    """Return a hash of everything that the library depends on."""
    cpu = _cpu() if len(found.command) > 1 else ""  # the flags in $CXX may be of this CPU alone
    told = (found, FLAGS, platform.machine(), platform.libc_ver(), cpu)
    h = hashlib.sha256(repr(told).encode())
    files = [headers / "xla/ffi/api" / name for name in FFI_HEADERS]
    for path in [*_sources(), *sorted(SOURCES.glob("*.h")), *files]:
        h.update(path.name.encode() + b"\0" + path.read_bytes())
    return h.hexdigest()


def _cpu() -> str:
    told = Path("/proc/cpuinfo").read_text().splitlines()
    return "\n".join(sorted({line for line in told if line.startswith(CPU_FACTS)}))


def _sources() -> list[Path]:
    return sorted(SOURCES.glob("*.cc"))


def compile_to(path: Path, found: Compiler, headers: Path) -> None:
    """Compile all sources into the shared library `path`."""
    include = [f"-I{headers}", f"-I{SOURCES}"]
    command = [*found.command, *FLAGS, *include, *map(str, _sources()), "-o", str(path), "-ldl"]
    done = _run(command)
    if done.returncode or not path.exists():
        raise _broken(list(found.command), done)
