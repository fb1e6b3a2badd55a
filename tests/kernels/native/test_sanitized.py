"""The CUDA sources under the address sanitizer: no access leaves a tensor or a shared array.

The tests of the emulator run once more, in a process of their own that begins with the sanitizer,
as its library wants to be the first.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels.native import emulator

TESTS = Path(__file__).with_name("test_cuda_kernels.py")
FLAGS = "-fsanitize=address -fsanitize-sections=kab_shared"
OPTIONS = "detect_leaks=0:alloc_dealloc_mismatch=0:detect_odr_violation=0:quarantine_size_mb=16"
"""Others' leaks and mismatches are none of the kernels' business."""

CHOSEN = (
    "(adam or sm3 or adafactor or clip or cross_entropy or standardize or batch_statistics) "
    "and shuffled or finite or label or zero_row"
)


@pytest.fixture(scope="module")
def runtime(compiler):
    """The libraries that a process begins with: the sanitizer's, and C++'s, which it looks for."""
    found = [library_of(compiler, name) for name in ("libasan.so", "libstdc++.so")]
    if not all(path.is_absolute() for path in found):
        pytest.skip("the compiler has no address sanitizer that a process can begin with")
    return " ".join(str(path.resolve()) for path in found)


def library_of(compiler, name):
    """Return where the compiler has a library; its name alone where it has none."""
    asked = [*compiler.command, f"-print-file-name={name}"]
    return Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())


def run(runtime, *arguments):
    """Run tests of the emulator with the sanitizer."""
    variables = {
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": OPTIONS,
        emulator.FLAGS_VARIABLE: FLAGS,
    }
    command = [sys.executable, "-m", "pytest", "-qs", "-p", "no:cacheprovider", str(TESTS)]
    return subprocess.run(
        [*command, *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("library")
def test_no_kernel_leaves_its_arrays(runtime):
    done = run(runtime, "-k", CHOSEN)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("kernel", "said"), [("beyond", "heap-buffer-overflow"), ("beyond_shared", "global-buffer")]
)
def test_a_kernel_that_writes_beyond_is_ended(runtime, kernel, said):
    done = run(runtime, "-k", f"writes_beyond and {kernel}]")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
