"""Comparing rows cell by cell with the reference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd

from health_pipeline.tables.catalogue import TABLES

Rows = dict[tuple[Any, ...], dict[str, Any]]
_TOLERANCE = 1e-12


def frame_rows(table: str, frame: pd.DataFrame) -> Rows:
    """A frame of a declared table as plain values by key."""
    return keyed(table, frame.to_dict("records"))


def keyed(table: str, rows: Iterable[Mapping[str, Any]], key: Sequence[str] | None = None) -> Rows:
    """Rows by the table's key; a key that comes twice is an error."""
    result: Rows = {}
    for row in rows:
        plain = {name: _plain(value) for name, value in row.items()}
        identity = tuple(plain[name] for name in key or TABLES[table].key)
        assert identity not in result, f"{table}: two rows with key {identity}"
        result[identity] = plain
    return result


def differences(found: Rows, expected: Rows, ignored: Iterable[str] = ()) -> list[str]:
    """Every cell that differs, and every row that one side lacks."""
    left_out = set(ignored)
    result = [f"missing row {key}" for key in expected.keys() - found.keys()]
    result += [f"row too many {key}" for key in found.keys() - expected.keys()]
    for key in expected.keys() & found.keys():
        for name, value in expected[key].items():
            if name not in left_out and not _same(found[key].get(name, "no such column"), value):
                result.append(f"{key}: {name} is {found[key].get(name)!r}, expected {value!r}")
    return sorted(result)


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime() if value.tzinfo else value.date()
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.date()
    if isinstance(value, date):
        return value
    return value.item() if hasattr(value, "item") else value


def _same(found: Any, expected: Any) -> bool:
    if isinstance(found, float) and isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return math.isclose(found, expected, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return bool(found == expected) and (found is None) == (expected is None)
