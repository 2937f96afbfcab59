"""Ibis' Spark engine with what the pipeline needs beside it: results by Arrow, tables kept on the cluster, plain errors.

What belongs here: where Ibis' own Spark engine lacks or breaks something. What does not: connecting (spark.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import grpc
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import sqlglot.expressions as sge
from ibis.backends.pyspark import Backend
from ibis.backends.pyspark.converter import PySparkPandasData
from ibis.backends.pyspark.datatypes import PySparkSchema, PySparkType
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.formats.pyarrow import PyArrowData
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from health_pipeline.errors import SourceError

SPARK_ERRORS = (PySparkException, Py4JError, grpc.RpcError, ConnectionError)  # the last: a driver that has ended
_LONGEST_MESSAGE = 600
_ENDED = "Spark's driver on this machine has ended"
_UNREADABLE = "the source can't be read: "


class _Compiler(PySparkCompiler):  # type: ignore[misc]
    """Ibis refuses to order a concatenation, sums a condition over no true value to null instead of counting none, and knows no
    bits of several rows together."""

    __slots__ = ()

    def visit_GroupConcat(self, op: Any, *, arg: Any, sep: Any, where: Any, order_by: Any) -> Any:  # noqa: ARG002, N802
        if where is not None:
            arg = self.if_(where, arg, sge.null())
        joined = self.f.anon.listagg(arg, sep)
        return sge.WithinGroup(this=joined, expression=sge.Order(expressions=order_by)) if order_by else joined

    def visit_BitOr(self, op: Any, *, arg: Any, where: Any) -> Any:  # noqa: ARG002, N802
        return self.f.anon.bit_or(arg if where is None else self.if_(where, arg, sge.null()))

    def visit_CountStar(self, op: Any, *, arg: Any, where: Any) -> Any:  # noqa: ARG002, N802
        return self.f.count(sge.Star()) if where is None else self.f.anon.count_if(where)


class SparkEngine(Backend):  # type: ignore[misc]
    """The engine of one session."""

    compiler = _Compiler()

    def __init__(self, session: Any) -> None:
        super().__init__(session)
        self._kept: list[DataFrame] = []
        self.register_options()
        self.reconnect()

    def to_pyarrow(self, expr: ir.Expr, /, **_: Any) -> Any:
        """The result, by Arrow: a conversion by pandas knows but few centuries."""
        table = expr.as_table()
        with self.errors(_UNREADABLE):
            found = self._frame(table).toArrow()
        return expr.__pyarrow_result__(PyArrowData.convert_table(_without_zones(found), table.schema()))

    def execute(self, expr: ir.Expr, /, **_: Any) -> Any:
        """The result as pandas has it."""
        table = expr.as_table()
        found = self.to_pyarrow(table)
        columns = {
            name: found[name].to_pylist() if found[name].null_count else found[name] for name in found.column_names
        }
        frame = pd.DataFrame({name: _as_series(values) for name, values in columns.items()})
        return expr.__pandas_result__(PySparkPandasData.convert_table(frame, table.schema()))

    def create_table(self, name: str, /, obj: ir.Table, *, temp: Literal[True]) -> ir.Table:  # noqa: ARG002
        """The rows as a temporary table on the cluster, computed at once: what is built on it starts from there, as Spark
        takes long over deep plans."""
        with self.errors(_UNREADABLE):
            cut = self._frame(obj).localCheckpoint()
            # As new columns: Spark takes a cut frame's columns for those they came from, and joins the two wrongly.
            return self.named(name, cut.toDF(*cut.columns))

    def kept(self, rows: ir.Table) -> ir.Table:
        """The rows as a table on the cluster, by columns, in its memory and on its disks from its first use on."""
        with self.errors(_UNREADABLE):
            frame = self._frame(rows).persist()
        self._kept.append(frame)
        return self.named(ibis.util.gen_name("rows"), frame)

    def named(self, name: str, frame: DataFrame) -> ir.Table:
        """The frame as a table; a column of a type that Ibis doesn't know is of an unknown type."""
        with self.errors(_UNREADABLE):
            frame.createOrReplaceTempView(name)
            schema = ibis.schema({field.name: _type(field.dataType) for field in frame.schema.fields})
        return ops.DatabaseTable(name=name, schema=schema, source=self).to_expr()

    def release(self) -> None:
        """Gives back what the cluster kept."""
        with self.errors(_UNREADABLE):
            while self._kept:
                self._kept.pop().unpersist()

    @contextmanager
    def errors(self, prefix: str) -> Iterator[None]:
        """Turns Spark's errors into a SourceError of one line."""
        try:
            yield
        except SPARK_ERRORS as error:
            raise SourceError(prefix + one_line(error)) from error

    def _frame(self, table: ir.Table) -> DataFrame:
        self._run_pre_execute_hooks(table)
        frame: DataFrame = self._session.sql(self.compile(table))
        return frame

    def _register_in_memory_table(self, op: Any) -> None:
        rows, schema = op.data.to_pyarrow(op.schema), PySparkSchema.from_ibis(op.schema)
        self._session.createDataFrame(rows, schema).createOrReplaceTempView(op.name)


def one_line(error: Exception) -> str:
    """Spark's own words in one line, without the stack of its calls."""
    try:
        java = getattr(error, "java_exception", None)
        text = str(java.getMessage() or java) if java is not None else str(error)
    except (Py4JError, ConnectionError):  # the words were the driver's to tell
        text = _ENDED
    if isinstance(error, ConnectionError):
        text = _ENDED
    lines = [line.strip() for line in text.splitlines()]
    told = [line for line in lines if line and not line.startswith(("at ", "JVM stacktrace", "Driver stacktrace"))]
    return " ".join(told)[:_LONGEST_MESSAGE]


def _type(found: Any) -> dt.DataType:
    """The type as DuckDB's tables have it, so that rows of both kinds of engine go with the same rows in memory."""
    try:
        known = PySparkType.to_ibis(found)
    except (NotImplementedError, ibis.common.exceptions.IbisTypeError):
        return dt.unknown
    return dt.Timestamp(scale=6) if known.is_timestamp() else known


def _without_zones(table: pa.Table) -> pa.Table:
    """Instants as naive UTC timestamps, as everywhere in the engine."""
    fields = [
        field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def _as_series(values: Any) -> Any:
    return pd.Series(values, dtype="object") if isinstance(values, list) else values.to_pandas()
