"""Sources read in place by the engine: a DuckDB file, or a folder of Parquet files with a folder per table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import duckdb
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from health_pipeline.errors import SourceError
from health_pipeline.sources.engine import Step, as_they_are, beside, kept, new_engine, settled
from health_pipeline.sources.logical import Relation, without_nul
from health_pipeline.sources.mapping import Place


class _InPlaceConnector(ABC):
    """What both have in common: the relations are tables of the engine itself."""

    counts_aside = False

    def __init__(self, memory_mb: int) -> None:
        self.engine = new_engine(memory_mb)

    @abstractmethod
    def _table(self, place: Place) -> ir.Table | None:
        """The table at the place; None where there is none."""

    def relation(self, place: Place) -> Relation | None:
        with _source_errors(f"source table {place.logical}: {place} can't be read: "):
            table = self.engine.sql(place.sql.strip().rstrip(";")) if place.sql else self._table(place)
        if table is None:
            return None
        return Relation(without_nul(table), {name: str(dtype) for name, dtype in table.schema().items()})

    def load(self, rows: ir.Table, made: Step = as_they_are, **_hints: bool) -> ir.Table:
        with _source_errors("the source can't be read: "):
            return kept(self.engine, made(rows))

    def load_aside(self, rows: ir.Table, made: Step = as_they_are, **_hints: bool) -> Callable[[], ir.Table]:
        return lambda: self.load(rows, made)

    def settled(self, rows: ir.Table, loaded: ir.Table) -> ir.Table:
        return settled(self.engine, rows, loaded)

    def kept(self, rows: ir.Table, beside: Backend | None = None) -> ir.Table:
        return kept(beside or self.engine, rows)

    def beside(self) -> AbstractContextManager[Backend]:
        return beside(self.engine)

    def is_one_of(self, value: ir.StringValue, texts: Callable[[], list[str]]) -> None:  # noqa: ARG002
        """The engine joins with a select."""
        return

    def is_unique(self, place: Place, columns: Sequence[str]) -> bool:  # noqa: ARG002
        """Files guarantee nothing about their rows."""
        return False

    def close(self) -> None:
        self.engine.disconnect()


class DuckDBConnector(_InPlaceConnector):
    """A DuckDB file, opened read-only."""

    def __init__(self, path: Path, memory_mb: int) -> None:
        super().__init__(memory_mb)
        if not path.is_file():
            raise SourceError(f"the source can't be reached (HEALTH_SOURCE_URL): there is no DuckDB file {path}")
        with _source_errors("the source can't be reached (HEALTH_SOURCE_URL): "):
            self.engine.attach(path, name="source", read_only=True)
            self.engine.raw_sql("USE source")

    def _table(self, place: Place) -> ir.Table | None:
        where = ("source", place.schema_name)
        if place.schema_name not in self.engine.list_databases(catalog="source"):
            return None
        if place.table not in self.engine.list_tables(database=where):
            return None
        return self.engine.table(place.table, database=where)


class ParquetConnector(_InPlaceConnector):
    """A folder with a folder of Parquet files per table; a select in the mapping names these folders as tables."""

    def __init__(self, folder: Path, memory_mb: int) -> None:
        super().__init__(memory_mb)
        if not folder.is_dir():
            raise SourceError(f"the source can't be reached (HEALTH_SOURCE_URL): there is no folder {folder}")
        self._tables: dict[str, ir.Table] = {}
        for table in sorted(folder.iterdir()):
            if table.is_dir() and any(table.rglob("*.parquet")):
                with _source_errors(f"the Parquet files in {table.name} can't be read: "):
                    rows = self.engine.read_parquet(str(table / "**" / "*.parquet"), union_by_name=True)
                    self._tables[table.name] = self.engine.create_view(table.name, rows)

    def _table(self, place: Place) -> ir.Table | None:
        return self._tables.get(place.table)


@contextmanager
def _source_errors(prefix: str) -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise SourceError(prefix + " ".join(str(error).split())) from error
