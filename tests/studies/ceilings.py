"""Are the ceilings right? Holds them against tools that share no code with them, in turn.

Run with ``python -m tests.studies.ceilings`` on an x86 CPU; about two minutes. Copying is held
against a loop in C, compiled here: STREAM's copy, one thread a core, on large pages, and with the
widest stores that pass the caches by, as tuned runs of STREAM have it. TensorFlow's matrix product
is held against NumPy's, and oneDNN's own where ``pip install onednn-cpu-gomp`` put it. A ceiling
and its tools take turns, so that a machine that drifts drifts for all. Exits 1 where a ceiling lies
more than 10 % below a tool; it may lie above: the higher one is the limit.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean

import numpy as np
import psutil

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.estimate import middle
from keras_ab.bench.lab.loop.asking import ask
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.worker.probes import beyond_caches_bytes, cache_bytes
from keras_ab.bench.lab.worker.protocol import ListProbes, PrepareProbe, Sample

ROUNDS = 15
TOLERANCE = 0.1
SIDE = 4096
STREAM = r"""
#include <immintrin.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#ifdef __AVX512F__
#define WIDE 8
#define COPY(to, from) _mm512_stream_pd(to, _mm512_load_pd(from))
#elif defined(__AVX__)
#define WIDE 4
#define COPY(to, from) _mm256_stream_pd(to, _mm256_load_pd(from))
#else
#define WIDE 2
#define COPY(to, from) _mm_stream_pd(to, _mm_load_pd(from))
#endif
double *array(long n) {
  double *new = aligned_alloc(1 << 21, n * sizeof *new);
  madvise(new, n * sizeof *new, MADV_HUGEPAGE);
  return new;
}
int main(int argc, char **argv) {
  long n = atol(argv[1]) >> 21 << 18;
  double *a = array(n), *b = array(n);
  #pragma omp parallel for
  for (long i = 0; i < n; i++) { a[i] = i * 1.25; b[i] = 2.0; }
  while (getchar() != EOF) {
    double start = omp_get_wtime();
    #pragma omp parallel for
    for (long i = 0; i < n; i += WIDE) COPY(b + i, a + i);
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
        subprocess.run(
            ["cc", "-O3", "-march=native", "-fopenmp", str(source), "-o", str(program)],  # noqa: S607
            check=True,
        )
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


def onednn_product(library: Path) -> Callable[[], float]:
    """Return the same with oneDNN's `dnnl_sgemm`, called in its library."""
    sgemm = ctypes.CDLL(str(library)).dnnl_sgemm
    char, size, real, array = ctypes.c_char, ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
    sgemm.argtypes = [char, char, *[size] * 3, real, array, size, array, size, real, array, size]
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal((SIDE, SIDE), dtype=np.float32) for _ in range(2))
    c = np.zeros((SIDE, SIDE), np.float32)
    sizes = [SIDE] * 3

    def once() -> float:
        x, y, z = (matrix.ctypes.data for matrix in (a, b, c))
        start = clock.now()
        status = sgemm(b"N", b"N", *sizes, 1.0, x, SIDE, y, SIDE, 0.0, z, SIDE)
        lasted = clock.now() - start
        assert status == 0
        return 2.0 * SIDE**3 / lasted

    once()
    np.testing.assert_allclose(c[:4], a[:4] @ b, rtol=1e-2, atol=1e-2)
    return once


def probe(server: ForkServer, name: str, size: int) -> Callable[[], float]:
    """Return a function that takes one step of a probe and returns its rate."""
    worker = server.start()
    ask(worker, ListProbes("tensorflow"), 300)
    work = ask(worker, PrepareProbe(name, size), 300).work
    return lambda: work / ask(worker, Sample(1), 300).duration_s


def settled(once: Callable[[], float]) -> float:
    """Do something thrice; return the mean rate without the first, which finds all asleep."""
    return fmean([once() for _ in range(3)][1:])


def compare(
    title: str, unit: str, ours: Callable[[], float], tools: Mapping[str, Callable[[], float]]
) -> bool:
    """Let a ceiling and its tools take turns; print all and tell whether ours reaches them."""
    turns = [[settled(once) for once in (ours, *tools.values())] for _ in range(ROUNDS + 2)][2:]
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
    if (library := Path(sys.prefix) / "lib" / "libdnnl.so").exists():
        tools["oneDNN"] = onednn_product(library)
    ours = probe(server, "matmul_float32", side)
    products = compare("float32 product", "FLOP/s", ours, tools)
    server.close()
    return 0 if copies and products else 1


if __name__ == "__main__":
    sys.exit(main())
