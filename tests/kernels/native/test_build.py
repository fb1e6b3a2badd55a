"""Building the library: the cache, the compilers that fail, the platforms without one."""

import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from keras_ab.kernels.native import build, cache
from keras_ab.kernels.native.errors import NotAvailable

compiles = pytest.mark.usefixtures("compiler")
SMALL = "int answer() { return 42; }"
BUILD = """
from pathlib import Path
from keras_ab.kernels.native import build
build.SOURCES = Path({sources!r})
print(build.library())
"""


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """One small source and an empty cache: a build takes a second."""
    directory = tmp_path / "sources"
    directory.mkdir()
    (directory / "small.cc").write_text(SMALL)
    monkeypatch.setattr(build, "SOURCES", directory)
    monkeypatch.setenv("KERAS_AB_CACHE", str(tmp_path / "cache"))
    return directory


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@compiles
def test_a_second_build_is_the_first(sources):
    first = build.library()
    stamp = first.stat().st_mtime_ns
    assert build.library() == first
    assert first.stat().st_mtime_ns == stamp


@compiles
def test_nothing_else_is_left_in_the_cache(sources):
    built = build.library()
    assert list(cache.directory().iterdir()) == [built]


@compiles
def test_sources_flags_and_compiler_name_the_library(sources, monkeypatch, tmp_path):
    found = {build.library()}
    (sources / "small.cc").write_text(SMALL.replace("42", "43"))
    found.add(build.library())
    (sources / "small.h").write_text("")
    found.add(build.library())
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-g"))
    found.add(build.library())
    real = build.compiler().command[0]
    text = f'[ "$1" = --version ] && echo another && exit\nexec {real} "$@"'
    monkeypatch.setenv("CXX", script(tmp_path / "another", text))
    found.add(build.library())
    assert len(found) == 5


def test_a_library_is_for_the_c_library_it_was_built_with(sources, monkeypatch):
    plain = build.Compiler(("g++",), "12")
    names = {build.digest(plain, headers_in(sources))}
    monkeypatch.setattr(build.platform, "libc_ver", lambda: ("glibc", "1.0"))
    names.add(build.digest(plain, headers_in(sources)))
    assert len(names) == 2


@pytest.mark.parametrize(("command", "own"), [(("g++",), 1), (("g++", "-march=native"), 2)])
def test_flags_beside_the_compiler_make_a_library_this_cpus(sources, monkeypatch, command, own):
    names = set()
    for cpu in ("flags: avx2", "flags: sse2"):
        monkeypatch.setattr(build, "_cpu", lambda cpu=cpu: cpu)
        names.add(build.digest(build.Compiler(command, "12"), headers_in(sources)))
    assert len(names) == own


def headers_in(directory):
    place = directory / "include"
    (place / "xla/ffi/api").mkdir(parents=True, exist_ok=True)
    for name in build.FFI_HEADERS:
        (place / "xla/ffi/api" / name).write_text("")
    return place


@compiles
def test_two_processes_at_once(sources, tmp_path):
    command = [sys.executable, "-c", BUILD.format(sources=str(sources))]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]
    assert [path.suffix for path in cache.directory().iterdir()] == [".so"]


def test_no_compiler(sources, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(NotAvailable) as caught:
        build.library()
    assert "need a C++17 compiler" in caught.value.must
    assert "g++" in caught.value.got
    assert "apt install g++" in caught.value.remedy


def test_a_compiler_that_is_not_there(sources, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler --flag")
    with pytest.raises(NotAvailable, match="no-such-compiler not on the path"):
        build.library()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo does not start >&2; exit 3", "exit status 3 .*does not start"),
        ("echo version; [ $1 = --version ] || exit 4", "exit status 4"),
        ("echo makes nothing", "exit status 0 .*makes nothing"),
    ],
)
def test_a_broken_compiler(sources, monkeypatch, tmp_path, text, reason):
    monkeypatch.setenv("CXX", script(tmp_path / "broken", text))
    with pytest.raises(NotAvailable, match=f"must compile the kernels; got {reason}"):
        build.library()
    assert not list(cache.directory().glob("*"))


def test_a_compiler_that_is_no_program(sources, monkeypatch, tmp_path):
    (tmp_path / "text").write_bytes(b"\0")
    (tmp_path / "text").chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / "text"))
    with pytest.raises(NotAvailable, match="exit status 127"):
        build.library()


@compiles
def test_a_cache_that_cannot_be_written(sources, monkeypatch, tmp_path):
    """A file where the directory should be: as root, permissions would not stop the build."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAS_AB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(NotAvailable, match="must be writable") as caught:
        build.library()
    assert "Set KERAS_AB_CACHE" in caught.value.remedy


@compiles
def test_a_read_only_cache_that_has_the_library(sources, monkeypatch):
    path = build.library()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(cache.tempfile, "TemporaryDirectory", refuse)
    assert build.library() == path
    path.unlink()
    with pytest.raises(NotAvailable, match="read-only"):
        build.library()


@pytest.mark.parametrize(("system", "machine"), [("win32", "AMD64"), ("linux", "riscv64")])
def test_a_platform_without_a_build(sources, monkeypatch, system, machine):
    monkeypatch.setattr(build.sys, "platform", system)
    monkeypatch.setattr(build.platform, "machine", lambda: machine)
    with pytest.raises(NotAvailable, match=f"got {system} on {machine}"):
        build.check_platform()


def test_no_framework_with_headers(sources, monkeypatch):
    monkeypatch.setattr(build, "_include_directories", list)
    with pytest.raises(NotAvailable, match="FFI headers"):
        build.library()


def test_the_oldest_headers_are_taken(monkeypatch, tmp_path):
    for minor in (3, 2, 10):
        place = tmp_path / str(minor) / "xla/ffi/api"
        place.mkdir(parents=True)
        text = f"#define XLA_FFI_API_MAJOR 0\n#define XLA_FFI_API_MINOR {minor}\n"
        (place / "c_api.h").write_text(text)
        (place / "ffi.h").write_text("")
    several = [tmp_path / str(minor) for minor in (3, 2, 10)]
    monkeypatch.setattr(build, "_include_directories", lambda: several)
    assert build.ffi_headers() == tmp_path / "2"


def test_the_platforms_place_for_caches(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_AB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.directory() == tmp_path / "keras-ab"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.directory() == Path.home() / ".cache" / "keras-ab"
    monkeypatch.setattr(cache.sys, "platform", "darwin")
    assert cache.directory().parts[-3:] == ("Library", "Caches", "keras-ab")


def test_the_reason_crosses_processes():
    error = pickle.loads(pickle.dumps(NotAvailable.because("must", "got", "do")))  # noqa: S301
    assert (error.must, error.got, error.remedy) == ("must", "got", "do")
    assert str(error) == "must; got got; to do: do"


@compiles
def test_the_environment_is_left_alone(sources):
    before = dict(os.environ)
    build.library()
    assert dict(os.environ) == before


@compiles
@pytest.mark.parametrize("framework", ["tensorflow", "jaxlib"])
def test_the_sources_compile_against_the_headers_of_every_framework(framework):
    """The library is built against the oldest that is installed; that may be the only one."""
    spec = importlib.util.find_spec(framework)
    if spec is None:
        pytest.skip(f"{framework} is not installed")
    places = [f"-I{place}/include" for place in spec.submodule_search_locations]
    include = [*places, f"-I{build.SOURCES}"]
    source = str(build.SOURCES / "handlers.cc")
    command = [*build.compiler().command, *build.FLAGS, *include, "-fsyntax-only", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
