"""A source on Spark: a standalone cluster (spark://) or a Spark Connect server (sc://), with tables of its catalogue or with
folders of Parquet files. Rows stay on the cluster; only what is asked for as Arrow or pandas comes here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any
from urllib.parse import parse_qsl

import ibis
import ibis.expr.types as ir
import sqlglot
import sqlglot.expressions as sge
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame

from health_pipeline.errors import SettingError, SourceError
from health_pipeline.sources.engine import Step, as_they_are
from health_pipeline.sources.logical import Relation, without_nul
from health_pipeline.sources.mapping import Place
from health_pipeline.sources.spark_engine import SparkEngine
from health_pipeline.sources.spark_sessions import CONNECT, STANDALONE

_PATH = "path"
_SECRET = re.compile(r"secret|password|token|credential|access.?key", re.IGNORECASE)
_NOT_THERE = {"PATH_NOT_FOUND", "UNABLE_TO_INFER_SCHEMA", "TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND"}
# What the figures rely on, whatever the cluster's own defaults: UTC, errors instead of wrapped integers, and instants before
# 1582 as they are stored.
_NEEDED = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
}


class SparkConnector:
    """Reads through a session of its own. A table is looked up once, so that a run sees the same files throughout."""

    counts_aside = False

    def __init__(self, url: str) -> None:
        address, options = _parsed(url)
        self._folder = options.pop(_PATH, None)
        self._sessions = CONNECT if address.startswith("sc://") else STANDALONE
        session = self._sessions.open(address, {**options, **_NEEDED})
        self._session = session
        self.engine = SparkEngine(session)
        self._views: set[str] = set()

    def relation(self, place: Place) -> Relation | None:
        with self.engine.errors(f"source table {place.logical}: {place} can't be read: "):
            frame = self._selected(place.sql) if place.sql else self._table(place)
            if frame is None:
                return None
            type_names = {field.name: field.dataType.simpleString() for field in frame.schema.fields}
        table = self.engine.named(ibis.util.gen_name(place.logical), frame)
        return Relation(without_nul(table), type_names)

    def load(self, rows: ir.Table, made: Step = as_they_are, **_hints: bool) -> ir.Table:
        return self.engine.kept(made(rows))

    def load_aside(self, rows: ir.Table, made: Step = as_they_are, **_hints: bool) -> Callable[[], ir.Table]:
        return lambda: self.load(rows, made)

    def settled(self, rows: ir.Table, loaded: ir.Table) -> ir.Table:  # noqa: ARG002
        table = self.engine.create_table(ibis.util.gen_name("rows"), rows, temp=True)
        self.engine.release()
        return table

    def kept(self, rows: ir.Table, beside: SparkEngine | None = None) -> ir.Table:  # noqa: ARG002
        return self.engine.create_table(ibis.util.gen_name("kept"), rows, temp=True)

    def beside(self) -> AbstractContextManager[None]:
        return nullcontext()

    def is_one_of(self, value: ir.StringValue, texts: Callable[[], list[str]]) -> None:
        """The cluster joins with a select."""

    def is_unique(self, place: Place, columns: Sequence[str]) -> bool:  # noqa: ARG002
        """Tables of a cluster guarantee nothing about their rows."""
        return False

    def close(self) -> None:
        with suppress(SourceError):  # a cluster that is gone keeps nothing
            self.engine.release()
        self._sessions.leave(self._session)

    def _selected(self, sql: str) -> DataFrame:
        query = sql.strip().rstrip(";")
        if self._folder is not None:
            self._make_views(query)
        frame: DataFrame = self._session.sql(query)
        return frame

    def _make_views(self, query: str) -> None:
        """A select names the folders as tables."""
        names = {table.name for table in sqlglot.parse_one(query, dialect="spark").find_all(sge.Table) if not table.db}
        for name in sorted(names - self._views):
            frame = self._parquet(name)
            if frame is not None:
                frame.createOrReplaceTempView(name)
                self._views.add(name)

    def _table(self, place: Place) -> DataFrame | None:
        if self._folder is not None:
            return self._parquet(place.table)
        parts = [*place.schema_name.split("."), place.table]
        name = ".".join("`" + part.replace("`", "``") + "`" for part in parts)
        return _if_there(lambda: self._session.table(name))

    def _parquet(self, name: str) -> DataFrame | None:
        # Files of any age, in whichever subfolder: a column that only some have is null in the others.
        reading = self._session.read.option("mergeSchema", "true").option("recursiveFileLookup", "true")
        return _if_there(lambda: reading.parquet(f"{self._folder}/{name}"))


def _if_there(found: Callable[[], Any]) -> DataFrame | None:
    try:
        frame: DataFrame = found()
        _ = frame.schema  # a Connect server is asked only here
    except AnalysisException as error:
        if error.getCondition() in _NOT_THERE:
            return None
        raise
    return frame


def _parsed(url: str) -> tuple[str, dict[str, str]]:
    """The address, and the options of the query. Raises SettingError, which repeats no value."""
    address, _, query = url.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name != _PATH and not name.startswith("spark."):
            raise SettingError(
                f"HEALTH_SOURCE_URL: {name!r} is no option of a Spark source; there are path (a folder with a folder of"
                " Parquet files per table) and Spark's own, which start with spark."
            )
        if _SECRET.search(name):
            raise SettingError(
                f"HEALTH_SOURCE_URL: {name} would be seen in the list of processes; set it in spark-defaults.conf"
                " (SPARK_CONF_DIR), or on the Spark Connect server"
            )
    return address, options
