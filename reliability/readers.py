"""Somebody who reads the warehouse all the time, and must never see half of anything."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Self

import psycopg2

from reliability.contents import BROKEN, COMPUTED, Contents, contents, states

_PAUSE_SECONDS = 0.1
# None: the connection was lost. Then what a server says that goes down, has crashed, or is coming up.
_RESTARTING = (None, "57P01", "57P02", "57P03")


class Reader:
    """Looks at all tables in one statement, over and over, and compares those of each step with what may stand there.

    versions: the contents that are whole, by name. compared: the tables that count. looks: how
    often it has looked. seen: what it saw that may not be.
    """

    def __init__(self, warehouse: str, versions: Mapping[str, Contents], compared: Collection[str]) -> None:
        self.looks = 0
        self.seen: set[str] = set()
        self._warehouse = warehouse
        self._versions = versions
        self._compared = [name for name in COMPUTED if name in compared]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._is_over.wait(_PAUSE_SECONDS):
            try:
                found = contents(self._warehouse, self._compared)
            except psycopg2.Error as error:
                if error.pgcode not in _RESTARTING:
                    self.seen.add(f"an error: {error}")
                continue
            self.looks += 1
            stand = states(found, self._versions, self._compared)
            self.seen |= {f"half of {step}" for step, state in stand.items() if state == BROKEN}
