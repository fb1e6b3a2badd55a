"""Search for examples that break a property: ``python -m tests.studies.search 20000 [PATHS]``.

The tests try each property on the same few examples every time. This draws so many of each at
random, and prints how to repeat what it finds (``@reproduce_failure``); what is found is mended and
kept as an ``@example``. PATHS go to pytest; without them it is every property, for hours.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from tests.examples import VARIABLE


def main() -> int:
    """Run the properties; return pytest's exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("examples", type=int)
    parser.add_argument("paths", nargs="*", default=["tests"])
    asked = parser.parse_args()
    command = [sys.executable, "-m", "pytest", "-q", "-m", "hypothesis", *asked.paths]
    environment = os.environ | {VARIABLE: str(asked.examples)}
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
