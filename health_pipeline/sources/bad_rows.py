"""Bad rows as they are recorded, and whether there are too many of them. Rule: source-contract.md, "What bad input gets"."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from health_pipeline.errors import TooManyBadRows
from health_pipeline.sources.contract import EARLIEST_INSTANT, LATEST_INSTANT, SourceTable

MIN_BAD_ROWS_TO_FAIL = 10


@dataclass(frozen=True)
class BadRow:
    """A row left out of every computation, as it is recorded in quarantined_rows."""

    quarantine_id: str
    source_table: str
    row_key: str | None
    reason: str
    row: str


def bad_rows(table: SourceTable, found: Sequence[Mapping[str, Any]]) -> list[BadRow]:
    """Records of rows with their `reason`; rows that are the same in everything are told apart by their number."""
    seen: Counter[str] = Counter()
    records = []
    for judged in found:
        row = {name: value for name, value in judged.items() if name != "reason"}
        text = json.dumps({name: _json_value(value) for name, value in row.items()}, ensure_ascii=False)
        identity = json.dumps([table.name, text, seen[text]], ensure_ascii=False)
        seen[text] += 1
        digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        records.append(BadRow(digest, table.name, _row_key(table, row), judged["reason"], text))
    return records


def check_share(bad: Mapping[str, int], read: Mapping[str, int], max_bad_share: float) -> None:
    """Raises TooManyBadRows if any table had 10 or more bad rows and more than this share of the rows read."""
    over = [
        f"{name}: {count} of {read[name]} rows ({count / read[name]:.1%})"
        for name, count in bad.items()
        if count >= MIN_BAD_ROWS_TO_FAIL and count > max_bad_share * read[name]
    ]
    if over:
        raise TooManyBadRows(
            f"more than {max_bad_share:.1%} of the rows read are bad: {'; '.join(over)}; nothing was computed, see"
            " health.quarantined_rows for the rows and their reasons"
        )


def _row_key(table: SourceTable, row: Mapping[str, Any]) -> str | None:
    parts = [_json_value(row.get(name)) for name in table.key]
    return None if any(part is None for part in parts) else "|".join(str(part) for part in parts)


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        if value == LATEST_INSTANT.replace(tzinfo=None):
            return "infinity"
        if value == EARLIEST_INSTANT.replace(tzinfo=None):
            return "-infinity"
        return value.isoformat() + "+00:00"
    return value.isoformat() if isinstance(value, date) else value
