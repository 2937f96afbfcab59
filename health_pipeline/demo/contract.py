"""The twelve source tables as Arrow schemas, read from `source_contract.sql` so that DDL and data cannot differ."""

import re
from collections.abc import Mapping
from importlib.resources import files

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_ARROW_TYPES = {
    "text": pa.string(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "integer": pa.int32(),
    "numeric(14,2)": pa.decimal128(14, 2),
    "boolean": pa.bool_(),
    "date": pa.date32(),
}
_COLUMN = re.compile(r"(\w+) (" + "|".join(re.escape(name) for name in _ARROW_TYPES) + r")")

DDL = (files(__package__) / "source_contract.sql").read_text(encoding="utf-8")


def _schemas(ddl: str) -> dict[str, pa.Schema]:
    return {
        table: pa.schema([(column, _ARROW_TYPES[sql_type]) for column, sql_type in _COLUMN.findall(body)])
        for table, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\);", ddl, re.DOTALL)
    }


SCHEMAS: dict[str, pa.Schema] = _schemas(DDL)
"""Schema of each logical table (source-contract.md), in the contract's order."""


def as_table(name: str, columns: Mapping[str, pa.Array | NDArray[np.generic]]) -> pa.Table:
    """The logical table `name` from its columns; NaT is null. Raises KeyError for a column that is missing."""
    schema = SCHEMAS[name]
    arrays = []
    for field in schema:
        values = columns[field.name]
        arrays.append((values if isinstance(values, pa.Array) else pa.array(values)).cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)
