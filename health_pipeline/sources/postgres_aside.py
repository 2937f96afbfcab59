"""A second session with a PostgreSQL source, in which it counts while rows are read in the first one, from the same snapshot."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pyarrow as pa
from adbc_driver_postgresql import dbapi

_LOGGER = logging.getLogger(__name__)


@contextmanager
def in_stretches(cursor: dbapi.Cursor, is_stretch: bool) -> Iterator[None]:
    """Queries of many rows that lie together: the index tells of pages, which are then looked at whole, rather than row by row."""
    if not is_stretch:
        yield
        return
    cursor.execute("SET LOCAL enable_indexscan = off")
    yield
    # After an error there is no transaction, and nothing else is read.
    cursor.execute("SET LOCAL enable_indexscan TO DEFAULT")


class PostgresAside:
    """Queries that run one after the other beside the session that reads. opened: makes a session of an exported snapshot."""

    def __init__(self, opened: Callable[[str], tuple[dbapi.Connection, dbapi.Cursor]]) -> None:
        self._opened = opened
        self._session: tuple[dbapi.Connection, dbapi.Cursor] | None = None
        self._is_refused = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aside")

    def begun(self, query: str, first: dbapi.Cursor, *, is_stretch: bool) -> Future[pa.Table] | None:
        """The rows of the query, as they come; None where the server allows no second session: the first one has to do it."""
        if self._session is None and not self._is_refused:
            self._open(first)
        return None if self._session is None else self._thread.submit(self._rows, query, self._session[1], is_stretch)

    def _open(self, first: dbapi.Cursor) -> None:
        first.execute("SELECT pg_export_snapshot()")
        (snapshot,) = first.fetchone()
        try:
            self._session = self._opened(snapshot)
        except dbapi.Error:
            # A limit on connections, a pooler that has no more: it takes longer without, and gives the same.
            self._is_refused = True
            _LOGGER.info("The source allows no second session; what could be counted meanwhile is counted afterwards.")

    @staticmethod
    def _rows(query: str, cursor: dbapi.Cursor, is_stretch: bool) -> pa.Table:
        with in_stretches(cursor, is_stretch):
            cursor.execute(query)
            return cursor.fetch_arrow_table()

    def close(self) -> None:
        """End the session; what it still counts is given up."""
        if self._session is not None:
            connection, cursor = self._session
            # A server that is gone has given it up.
            with suppress(dbapi.Error):
                cursor.adbc_cancel()
            self._thread.shutdown(cancel_futures=True)
            cursor.close()
            connection.close()
