"""Are the ceilings right? Holds them against tools that share no code with them, in turn.

Run with ``python -m tests.studies.ceilings``; about two minutes. Copying is held against a loop
in C, compiled here (STREAM's copy, one thread a core, with stores that pass the caches by, as tuned
runs of STREAM have them), TensorFlow's matrix product against NumPy's, and PyTorch's where that is
installed. A ceiling and its tools take turns, so that a machine that drifts drifts for all. Exits 1
where a ceiling lies more than 10 % below a tool; it may lie above: the higher one is the limit.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.lab import clock, text
from bench.lab.estimate import middle
from bench.lab.forkserver import ForkServer
from bench.lab.probes import beyond_caches_bytes, cache_bytes

ROUNDS = 15
TOLERANCE = 0.1
SIDE = 4096
STREAM = r"""
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#define STORE(to, from) _mm_stream_si64((long long *)(to), *(const long long *)(from))
#else
#define STORE(to, from) *(to) = *(from)
#endif
int main(int argc, char **argv) {
  long n = atol(argv[1]) / sizeof(double);
  double *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
  #pragma omp parallel for
  for (long i = 0; i < n; i++) { a[i] = i * 1.25; b[i] = 2.0; }
  while (getchar() != EOF) {
    double start = omp_get_wtime();
    #pragma omp parallel for
    for (long i = 0; i < n; i++) STORE(b + i, a + i);
    printf("%g\n", 2.0 * n * sizeof *a / (omp_get_wtime() - start));
    fflush(stdout);
  }
  return b[n / 2] != a[n / 2];
}
"""


@contextmanager
def stream(size: int) -> Iterator[Callable[[], float]]:
    """Compile STREAM's copy; yield a function that copies once and returns bytes a second."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "stream.c", Path(folder) / "stream"
        source.write_text(STREAM)
        subprocess.run(["cc", "-O3", "-fopenmp", str(source), "-o", str(program)], check=True)  # noqa: S607
        process = subprocess.Popen(
            [str(program), str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))},
        )
        assert process.stdin
        assert process.stdout

        def once() -> float:
            process.stdin.write(".")
            process.stdin.flush()
            return float(process.stdout.readline())

        yield once
        process.stdin.close()
        process.wait()


def numpy_product() -> Callable[[], float]:
    """Return a function that multiplies with NumPy once and returns operations a second."""
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal((SIDE, SIDE), dtype=np.float32) for _ in range(2))

    def once() -> float:
        start = clock.now()
        np.matmul(a, b)
        return 2.0 * SIDE**3 / (clock.now() - start)

    return once


def torch_product() -> Callable[[], float]:
    """Return the same with PyTorch, whose library of products is another."""
    import torch

    a, b = (torch.randn(SIDE, SIDE) for _ in range(2))

    def once() -> float:
        start = clock.now()
        torch.mm(a, b)
        return 2.0 * SIDE**3 / (clock.now() - start)

    return once


def probe(server: ForkServer, name: str, size: int) -> Callable[[], float]:
    """Return a function that takes one step of a probe and returns its rate."""
    worker = server.start()

    def ask(**request: Any) -> Any:
        worker.send(request)
        return worker.receive(300)["result"]

    ask(do="probes", backend="tensorflow")
    work = ask(do="probe", name=name, size=size)["work"]
    return lambda: work / ask(do="sample", steps=1)["duration_s"]


def compare(
    title: str, unit: str, ours: Callable[[], float], tools: Mapping[str, Callable[[], float]]
) -> bool:
    """Let a ceiling and its tools take turns; print all and tell whether ours reaches them."""
    turns = [[ours(), *(tool() for tool in tools.values())] for _ in range(ROUNDS + 2)][2:]
    mine, *others = zip(*turns, strict=True)
    print(f"{title}: ceiling {text.between(middle(mine, 0.95), unit)}")
    reached = True
    for name, theirs in zip(tools, others, strict=True):
        ratio = middle([a / b for a, b in zip(mine, theirs, strict=True)], 0.95)
        print(
            f"  {name} {text.between(middle(theirs, 0.95), unit)}, "
            f"ratio {ratio.point:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
        )
        reached = reached and ratio.point >= 1 - TOLERANCE
    return reached


def main() -> int:
    largest = max(cache_bytes(level) for level in (2, 3, 4))
    size = beyond_caches_bytes(largest, psutil.virtual_memory().available)
    server = ForkServer("tensorflow")
    with stream(size) as copy:
        copies = compare("copy", "B/s", probe(server, "host_copy", 0), {"STREAM": copy})
    side = (1024, 2048, 4096, 8192).index(SIDE)
    tools = {"NumPy": numpy_product()}
    if importlib.util.find_spec("torch"):
        tools["PyTorch"] = torch_product()
    ours = probe(server, "matmul_float32", side)
    products = compare("float32 product", "FLOP/s", ours, tools)
    server.close()
    return 0 if copies and products else 1


if __name__ == "__main__":
    sys.exit(main())
