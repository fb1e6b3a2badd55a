"""A run file, shipped to a store as it grows.

Shipping is no part of measuring: it is done by another process, of whole lines, when a block has
ended. A store that is away is tried again later; what was measured waits in the file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.record.parts import PARTS, WHOLE, joined, kept, part
from keras_ab.bench.lab.record.store import Store, Taken
from keras_ab.bench.lab.words.errors import RecordError

LONGEST_S = 60.0
"""After so long rounds are shipped although their block has not ended."""

ROUND, SEAL = b'{"kind":"round"', b'{"kind":"seal"'
"""How the lines of a round and of a seal begin."""


class Shipping:
    """What has been shipped of a run file, and what has not.

    Args:
        path: of the run file; it need not be there yet.
        store: where it is shipped to.
        name: of the run in the store, without its ending.
        now: monotonic seconds.

    Raises:
        RecordError: what is in the store is not the beginning of the file.
    """

    def __init__(
        self, path: Path, store: Store, name: str, now: Callable[[], float] = clock.now
    ) -> None:
        self.path = path
        self.away: RecordError | None = None
        """Why the last shipment did not arrive, where it did not."""
        self.sealed = False
        """Whether the whole run is in the store, for good."""
        self._store, self._now = store, now
        self._run = name
        self._shipped_at = now()
        self._shipped = self._there()

    def _there(self) -> int:
        """Return how many bytes of the file are in the store."""
        found = [run for run in kept(self._store.names(f"{self._run}{PARTS}")) if not run.whole]
        data = joined(self._store, found[0].parts) if found else b""
        if data and self._lines()[: len(data)] != data:
            raise RecordError(
                "a run that is continued begins as it was shipped",
                f"{self._run}: {len(data)} bytes in {self._store.url}, and others in {self.path}",
                "ask anew: keras-ab fleet run",
            )
        return len(data)

    def _lines(self) -> bytes:
        """Return the whole lines of the file."""
        data = self.path.read_bytes() if self.path.exists() else b""
        return data[: data.rfind(b"\n") + 1]

    @property
    def begun(self) -> bool:
        """Whether anything of it is in the store."""
        return self._shipped > 0

    def ship(self, *, all_of_it: bool = False) -> None:
        """Ship what has come since, where that is due; a store that is away is no error.

        Args:
            all_of_it: not to wait for the end of a block.

        Raises:
            Taken: another has gone on with this run.
        """
        lines = self._lines()
        new = lines[self._shipped :]
        if self.sealed or not (new and (all_of_it or self._due(new))):
            return
        try:
            self._send(lines)
            self.away, self._shipped_at = None, self._now()
        except Taken:
            raise
        except RecordError as error:
            self.away = error

    def _due(self, new: bytes) -> bool:
        last = new.splitlines()[-1]
        return not last.startswith(ROUND) or self._now() - self._shipped_at > LONGEST_S

    def _send(self, lines: bytes) -> None:
        if lines.splitlines()[-1].startswith(SEAL):
            self._store.create(f"{self._run}{WHOLE}", lines)
            self._store.remove(list(self._store.names(f"{self._run}{PARTS}")))
            self.sealed, self._shipped = True, len(lines)
        while self._shipped < len(lines):
            self._shipped += self._arrived(part(self._run, self._shipped), lines[self._shipped :])

    def _arrived(self, name: str, new: bytes) -> int:
        """Ship a part; return how many bytes of it are in the store.

        They are fewer where an earlier shipment arrived but its answer did not, for the file has
        grown since.
        """
        try:
            self._store.create(name, new)
        except Taken:
            there = self._store.read(name)
            if not (there and new.startswith(there)):
                raise
            return len(there)
        return len(new)
