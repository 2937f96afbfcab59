"""The compute engine: DuckDB in this process, which spills to disk when memory runs short."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

from health_pipeline.errors import EngineMemoryError
from health_pipeline.settings import ENGINE_MEMORY_MB

# Engines merge nested selects by themselves; Ibis takes two tenths of a second of a run for it.
ibis.options.sql.fuse_selects = False
_IN_MEMORY = ("memory", "main")


def new_engine(memory_mb: int = ENGINE_MEMORY_MB) -> Backend:
    """A private in-memory DuckDB whose instants are UTC; what doesn't fit into so many megabytes lies on the disk meanwhile."""
    # The engine makes this folder when it has to spill, and takes it away again.
    spill = Path(tempfile.gettempdir()) / f"health_pipeline_spill_{uuid.uuid4().hex}"
    engine = ibis.duckdb.connect(temp_directory=str(spill))
    engine.raw_sql("SET TimeZone = 'UTC'")
    engine.raw_sql("SET preserve_insertion_order = false")
    engine.raw_sql(f"SET memory_limit = '{memory_mb}MB'")
    return engine


@contextmanager
def memory_errors(memory_mb: int) -> Iterator[None]:
    """Raises EngineMemoryError where the engine needs more memory at once than it may take."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise EngineMemoryError(
            f"the {memory_mb} MB of HEALTH_ENGINE_MEMORY are not enough for this source; set it to more"
        ) from error


Step = Callable[[ir.Table], ir.Table]


def as_they_are(rows: ir.Table) -> ir.Table:
    return rows


def stored(engine: Backend, reader: pa.RecordBatchReader, made: Step) -> ir.Table:
    """What is made of the batches as they arrive, as a table of the engine."""
    name, stream = ibis.util.gen_name("rows"), ibis.util.gen_name("stream")
    engine.con.register(stream, reader)
    try:
        rows = made(engine.table(stream))
        engine.raw_sql(f"CREATE TABLE {_in_memory(name)} AS {engine.compile(rows)}")
    finally:
        engine.con.unregister(stream)
    return engine.table(name, database=_IN_MEMORY)


def settled(engine: Backend, rows: ir.Table, loaded: ir.Table) -> ir.Table:
    """The rows as a table of their own, in place of the loaded ones that they were made of."""
    if rows.equals(loaded):
        return loaded
    table = kept(engine, rows)
    for made_of in loaded.op().find(ops.DatabaseTable):
        engine.raw_sql(f"DROP TABLE {_in_memory(made_of.name)}")
    return table


def kept(engine: Backend, rows: ir.Table) -> ir.Table:
    """The rows as a table of the engine, which its other connections see too."""
    return engine.create_table(ibis.util.gen_name("kept"), rows, database=_IN_MEMORY)


def _in_memory(name: str) -> str:
    return ".".join(f'"{part}"' for part in (*_IN_MEMORY, name))


@contextmanager
def beside(engine: Backend) -> Iterator[Backend]:
    """Another connection to the engine, for another thread: one answers one at a time."""
    other = ibis.duckdb.from_connection(engine.con.cursor())
    try:
        yield other
    finally:
        other.disconnect()
