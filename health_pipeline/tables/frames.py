"""From a declared table to its dataframe: column types, validation before the write, and the Arrow form that is written."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from health_pipeline.errors import InvalidResult
from health_pipeline.tables.declare import Column, Table, Type

if TYPE_CHECKING:
    import pandera.pandas as pandera

_ARROW = {
    Type.TEXT: pa.string(),
    Type.INTEGER: pa.int32(),
    Type.BIGINT: pa.int64(),
    Type.FLOAT: pa.float64(),
    Type.BOOLEAN: pa.bool_(),
    Type.DATE: pa.date32(),
    Type.INSTANT: pa.timestamp("us", "UTC"),
    Type.JSON: pa.json_(),  # as bare text PostgreSQL's binary COPY would refuse it for jsonb
}
# Dates are kept as midnights: a column of date objects is slow, and pandas has no other date type.
_PANDAS = {
    Type.TEXT: "str",
    Type.INTEGER: "Int32",
    Type.BIGINT: "Int64",
    Type.FLOAT: "float64",
    Type.BOOLEAN: "bool",
    Type.DATE: "datetime64[us]",
    Type.INSTANT: "datetime64[us, UTC]",
    Type.JSON: "str",
}
_SHOWN_CASES = 3


def arrow_schema(table: Table) -> pa.Schema:
    """The table's columns in their order, in the types that PostgreSQL's binary COPY takes for them."""
    return pa.schema([pa.field(column.name, _ARROW[column.type], column.nullable) for column in table.columns])


def as_frame(table: Table, rows: pa.Table | pd.DataFrame) -> pd.DataFrame:
    """The rows in the table's column order and pandas types. Instants without a zone are taken as UTC."""
    if isinstance(rows, pa.Table):
        rows = rows.select(table.column_names).cast(arrow_schema(table))
        in_pandas = {Type.DATE: pa.timestamp("us"), Type.JSON: pa.string()}
        for i, column in enumerate(table.columns):
            if column.type in in_pandas:
                rows = rows.set_column(i, column.name, rows.column(i).cast(in_pandas[column.type]))
        frame: pd.DataFrame = rows.to_pandas(
            types_mapper={pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}.get
        )
        return frame
    return rows[table.column_names].astype({column.name: _PANDAS[column.type] for column in table.columns})


def as_arrow(table: Table, frame: pd.DataFrame) -> pa.Table:
    """The frame of a declared table, ready to be written."""
    return pa.Table.from_pandas(frame, schema=arrow_schema(table), preserve_index=False)


def validated(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame itself, if every row keeps the table's declaration.

    Raises InvalidResult with a count per broken check and the first few cases, never with every value.
    """
    import pandera.errors

    try:
        return _schema(table).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        parts = [
            f"{column or 'table'}: {check}: {len(group)} rows, such as {group['failure_case'].head(_SHOWN_CASES).tolist()}"
            for (column, check), group in cases.groupby(["column", "check"], dropna=False)
        ]
        raise InvalidResult(
            f"{table.name}: computed rows break the table's declaration; " + "; ".join(parts),
            _broken_tenants(table, frame, cases),
        ) from error


def _broken_tenants(table: Table, frame: pd.DataFrame, cases: pd.DataFrame) -> dict[str, str]:
    """The tenants of the rows that broke a rule, each with the first rule that one of its rows broke."""
    of_rows = cases[cases["index"].notna()]
    if "tenant_id" not in frame or len(of_rows) < len(cases):
        return {}
    tenants = frame["tenant_id"].reindex(of_rows["index"].astype(frame.index.dtype))
    rules = f"{table.name}: " + of_rows["column"].fillna("key").astype(str) + ": " + of_rows["check"].astype(str)
    broken = pd.DataFrame({"tenant_id": tenants.to_numpy(), "rule": rules.to_numpy()}).dropna()
    return dict(broken.drop_duplicates("tenant_id").itertuples(index=False, name=None))


@cache
def _schema(table: Table) -> pandera.DataFrameSchema:
    import pandera.pandas as pandera  # a second of imports that only a run needs

    columns = {column.name: _pandera_column(column) for column in table.columns}
    return pandera.DataFrameSchema(columns, unique=list(table.key), strict=True, ordered=True)


def _pandera_column(column: Column) -> pandera.Column:
    import pandera.pandas as pandera

    checks = []
    if column.minimum is not None:
        checks.append(pandera.Check.ge(column.minimum))
    if column.maximum is not None:
        checks.append(pandera.Check.le(column.maximum))
    if column.one_of is not None:
        checks.append(pandera.Check.isin(column.one_of))
    return pandera.Column(_PANDAS[column.type], checks, nullable=column.nullable)
