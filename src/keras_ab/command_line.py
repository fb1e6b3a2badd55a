"""The `keras-ab` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import TextIO, cast

from keras_ab import __version__
from keras_ab.bench import commands as of_bench
from keras_ab.bench.fleet import commands as of_fleet
from keras_ab.bench.lab.words.errors import LabError
from keras_ab.reports import commands as of_reports
from keras_ab.reports.legible import visible


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="keras-ab",
        description="Puts documented Keras and TensorFlow techniques on trial. "
        "Measure with: pytest --benchmark",
    )
    top.add_argument("--version", action="version", version=f"keras-ab {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    of_reports.add_commands(commands)
    of_bench.add_commands(commands)
    of_fleet.add_commands(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a refusal is printed in its three parts and exits 2."""
    arguments = parser().parse_args(argv)
    try:
        with redirect_stdout(cast(TextIO, Visible(sys.stdout))):
            status = arguments.execute(arguments)
        sys.stdout.flush()
    except LabError as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, where output is sent to a file
        full = LabError("output can be written", error, "free some space, or send it elsewhere")
        return _refused(str(full))
    return status


def _refused(why: str) -> int:
    print(f"keras-ab: {why}", file=Visible(sys.stderr))
    return 2


class Visible:
    """Passes text on to a stream, without what could steer a terminal or what it cannot encode.

    The names, units and messages that commands print were written by whoever made a run file.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, written: str) -> int:
        """Write text in which every invisible character is a mark."""
        encoding = self._stream.encoding or "utf-8"
        shown = visible(written).encode(encoding, "replace").decode(encoding)
        return self._stream.write(shown)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


if __name__ == "__main__":
    sys.exit(main())
