"""A source in PostgreSQL, read through ADBC as Arrow in one read-only snapshot, into the engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import duckdb
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
from adbc_driver_postgresql import dbapi
from ibis.backends.duckdb import Backend

from health_pipeline.errors import SourceError
from health_pipeline.postgres_urls import connection_uri, libpq_message
from health_pipeline.sources.engine import Step, as_they_are, beside, kept, new_engine, settled, stored
from health_pipeline.sources.logical import Relation
from health_pipeline.sources.mapping import Place
from health_pipeline.sources.postgres_aside import PostgresAside, in_stretches

# As PostgreSQL names them. What only becomes text by a cast stands as uuid here, which the logical form casts.
_TYPES: dict[str, dt.DataType] = {
    "text": dt.string,
    "character varying": dt.string,
    "character": dt.uuid,
    "citext": dt.uuid,
    "uuid": dt.uuid,
    "smallint": dt.int16,
    "integer": dt.int32,
    "bigint": dt.int64,
    "numeric": dt.decimal,
    "real": dt.float32,
    "double precision": dt.float64,
    "boolean": dt.boolean,
    "date": dt.date,
    "timestamp with time zone": dt.Timestamp(timezone="UTC"),
    "timestamp without time zone": dt.timestamp,
}


_BATCH = "adbc.postgresql.batch_size_hint_bytes"
# Small ones let the server and the engine work at the same time; an engine that has much to do for each is better off with
# large ones, in which rows of one day lie together.
_SMALL_BATCH_BYTES, _LARGE_BATCH_BYTES = 2**18, 2**24
_UNREADABLE = "the source can't be read: "
_UNREACHABLE = "the source can't be reached (HEALTH_SOURCE_URL): "
# PostgreSQL finds a text among those of a constant in half the time that one takes among those of a select. They are a part of
# the query, so they must not be too many.
_MOST_TEXTS_LISTED, _SEPARATOR = 20_000, "\x1f"


@ibis.udf.scalar.builtin(name="any")  # type: ignore[untyped-decorator]
def _any(texts: dt.Array[dt.String]) -> str:
    """Of a comparison: whether one of the texts gives true."""
    raise NotImplementedError


@ibis.udf.scalar.builtin(name="string_to_array")  # type: ignore[untyped-decorator]
def _string_to_array(text: str, separator: str) -> dt.Array[dt.String]:
    """The texts between the separators: a constant that isn't as many parts of the query as there are texts."""
    raise NotImplementedError


@ibis.udf.scalar.builtin(name="timezone")  # type: ignore[untyped-decorator]
def _at_offset(offset: dt.Interval("s"), instant: dt.Timestamp(timezone="UTC")) -> dt.timestamp:  # type: ignore[valid-type]
    """The instant's time where clocks are so far ahead of UTC."""
    raise NotImplementedError


def _without_zone(instant: ir.TimestampValue) -> ir.TimestampValue:
    """A cast looks into the calendar for each value, and takes a tenth of the time of reading an event."""
    if instant.type().timezone is None:
        return instant
    return _at_offset(ibis.interval(seconds=0), instant)


class PostgresConnector:
    """Reads with one connection and one snapshot; the session can't write, and gives up on a statement after a while."""

    counts_aside = True

    def __init__(self, url: str, timeout_seconds: int, memory_mb: int) -> None:
        self._selects: dict[str, str] = {}
        uri = connection_uri("HEALTH_SOURCE_URL", url)
        with _source_errors():
            first, self._cursor = _opened(lambda: dbapi.connect(uri), timeout_seconds)
        self._connection = first
        # A clone knows the server's types, which takes most of the time of connecting.
        self._aside = PostgresAside(lambda snapshot: _opened(first.adbc_clone, timeout_seconds, snapshot))
        self.engine = new_engine(memory_mb)

    def relation(self, place: Place) -> Relation | None:
        if place.sql:
            name = f"mapped_{place.logical}"
            self._selects[name] = place.sql.strip().rstrip(";")
            physical = f"({self._selects[name]}\n)"
            database = None
        else:
            name, database = place.table, place.schema_name
            physical = f"{_quoted(database)}.{_quoted(name)}"
            if not self._rows("SELECT to_regclass($1) IS NOT NULL", [physical], _unreadable(place))[0][0]:
                return None
        type_names, schema = self._described(place, physical)
        return Relation(ibis.table(schema, name=name, database=database), type_names, _without_zone)

    def _described(self, place: Place, physical: str) -> tuple[dict[str, str], dict[str, dt.DataType]]:
        """The columns' types as PostgreSQL names them, domains resolved, and as Ibis knows them."""
        with _source_errors(_unreadable(place)):
            self._cursor.execute(f"SELECT * FROM {physical} AS q LIMIT 0")
            names = self._cursor.fetch_arrow_table().column_names
        if not names:
            return {}, {}
        types = ", ".join(f"({_TYPE_OF.format(column=f'q.{_quoted(name)}')})" for name in names)
        found = self._rows(
            f"SELECT {types} FROM (SELECT 1) AS one LEFT JOIN (SELECT * FROM {physical} AS p LIMIT 0) AS q ON true"
        )[0]
        type_names = dict(zip(names, (text.removesuffix(" enum") for text in found), strict=True))
        schema = {
            name: dt.uuid if text.endswith(" enum") else _TYPES.get(re.sub(r"\(.*?\)", "", text), dt.unknown)
            for name, text in zip(names, found, strict=True)
        }
        return type_names, schema

    def load(
        self, rows: ir.Table, made: Step = as_they_are, *, is_little: bool = False, is_stretch: bool = False
    ) -> ir.Table:
        query = self._query(rows)
        with _source_errors(_UNREADABLE), in_stretches(self._cursor, is_stretch):
            self._cursor.adbc_statement.set_options(
                **{_BATCH: str(_SMALL_BATCH_BYTES if is_little else _LARGE_BATCH_BYTES)}
            )
            self._cursor.execute(query)
            return stored(self.engine, self._cursor.fetch_record_batch(), made)

    def load_aside(
        self, rows: ir.Table, made: Step = as_they_are, *, is_stretch: bool = False
    ) -> Callable[[], ir.Table]:
        coming = self._aside.begun(self._query(rows), self._cursor, is_stretch=is_stretch)
        if coming is None:
            return lambda: self.load(rows, made, is_stretch=is_stretch)

        def arrived() -> ir.Table:
            if coming.cancel():
                # It waits for others there, and nobody waits for this session.
                return self.load(rows, made, is_stretch=is_stretch)
            with _source_errors(_UNREADABLE):
                return stored(self.engine, coming.result().to_reader(), made)

        return arrived

    def _query(self, rows: ir.Table) -> str:
        with _merged_selects():
            query = str(ibis.to_sql(rows, dialect="postgres"))
        used = {op.name for op in rows.op().find(ops.UnboundTable)} & set(self._selects)
        if used:
            selects = ", ".join(
                f"{_quoted(name)} AS NOT MATERIALIZED ({self._selects[name]}\n)" for name in sorted(used)
            )
            query = f"WITH {selects} SELECT * FROM ({query}) AS mapped_rows"
        return query

    def settled(self, rows: ir.Table, loaded: ir.Table) -> ir.Table:
        return settled(self.engine, rows, loaded)

    def kept(self, rows: ir.Table, beside: Backend | None = None) -> ir.Table:
        return kept(beside or self.engine, rows)

    def beside(self) -> AbstractContextManager[Backend]:
        return beside(self.engine)

    def is_one_of(self, value: ir.StringValue, texts: Callable[[], list[str]]) -> ir.BooleanValue | None:
        listed = texts()
        if len(listed) > _MOST_TEXTS_LISTED or any(_SEPARATOR in text for text in listed):
            return None
        return value == _any(_string_to_array(_SEPARATOR.join(listed), _SEPARATOR))

    def is_unique(self, place: Place, columns: Sequence[str]) -> bool:
        if place.sql:
            return False
        found = self._rows(_UNIQUE_INDEXES, [f"{_quoted(place.schema_name)}.{_quoted(place.table)}"])
        return any(set(index.split("\x1f")) <= set(columns) for (index,) in found)

    def close(self) -> None:
        self._aside.close()
        self._cursor.close()
        self._connection.close()
        self.engine.disconnect()

    def _rows(
        self, query: str, parameters: list[str] | None = None, problem: str = _UNREACHABLE
    ) -> list[tuple[Any, ...]]:
        with _source_errors(problem):
            self._cursor.execute(query, parameters)
            return list(self._cursor.fetchall())


def _opened(
    connect: Callable[[], dbapi.Connection], timeout_seconds: int, snapshot: str | None = None
) -> tuple[dbapi.Connection, dbapi.Cursor]:
    """A session that only reads, from one snapshot: one of its own, or that which another session has exported."""
    with ExitStack() as closing:
        connection = closing.enter_context(connect())
        cursor = closing.enter_context(connection.cursor())
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if snapshot is not None:
            cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        cursor.execute("SET LOCAL timezone = 'UTC'")
        cursor.execute(f"SET LOCAL statement_timeout = '{timeout_seconds}s'")
        # The snapshot is needed as long as the run computes, whatever the server allows its users by default.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        for setting in _TUNING:
            cursor.execute(setting)
            cursor.fetchall()
        closing.pop_all()
    return connection, cursor


_TUNING = (
    # By default a server takes its disk for one that turns, and reads a whole table rather than a third of it by its index. How
    # well the index's order is that of the table it knows.
    "SELECT set_config('random_page_cost', least(current_setting('random_page_cost')::float8, 1.1)::text, true)",
    # For the groups of what is counted there: with less it writes rows to its disk.
    "SELECT set_config('work_mem', greatest(pg_size_bytes(current_setting('work_mem')), 67108864) / 1024 || 'kB', true)",
    # Rows leave by one process, and what is counted meanwhile takes the other processor.
    "SELECT set_config('max_parallel_workers_per_gather', '0', true)",
    # Pages come in their order, which disks and systems read ahead by themselves; other processes that read ahead for the server
    # take a processor. Who knows the disk better has set it.
    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'effective_io_concurrency' AND source = 'default'",
)
_TYPE_OF = (
    "SELECT format_type(coalesce(nullif(typbasetype, 0), oid), NULL) || CASE WHEN typtype = 'e' THEN ' enum' ELSE '' END"
    " FROM pg_type WHERE oid = pg_typeof({column})::oid"
)
_UNIQUE_INDEXES = """
SELECT string_agg(a.attname::text, E'\\x1f')
FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid, i.indnkeyatts
HAVING count(*) = i.indnkeyatts
"""


@contextmanager
def _merged_selects() -> Iterator[None]:
    """Ibis merges nested selects: what would stand twice, such as all rows of a table, PostgreSQL would compute as a whole first."""
    ibis.options.sql.fuse_selects = True
    try:
        yield
    finally:
        ibis.options.sql.fuse_selects = False


@contextmanager
def _source_errors(prefix: str = _UNREACHABLE) -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except (dbapi.Error, duckdb.Error) as error:
        # The engine takes rows in as they arrive, so it is the one to meet what goes wrong on the way.
        reason = libpq_message(error)
        hint = " (HEALTH_SOURCE_TIMEOUT says how long one may take)" if "statement timeout" in reason else ""
        raise SourceError(prefix + reason + hint) from error


def _unreadable(place: Place) -> str:
    return f"source table {place.logical}: {place} can't be read: "


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
