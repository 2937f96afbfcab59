"""What the traps of the hostile source share: instants around the edges, hostile ids, and the rows so far."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from typing import Any

from health_pipeline_tests.reference.calendar import MICROSECOND, days_between, end_of
from health_pipeline_tests.reference.contract import MAY_LIE_AHEAD, TABLES, Row, Source, timestamp_columns

AROUND = (-MICROSECOND, timedelta(0), MICROSECOND)

# Ids that a careless comparison, trim, join, escape or cast takes for one another or for nothing.
HOSTILE_IDS = (
    *("acme", "Acme", "ACME", " acme", "acme ", "acme|1", "acme||1", "1", "01", "1.0", "1e0", "null", "NULL", "None"),
    *("NaN", "true", "ALL", "2024-01-01", "caf\u00e9", "cafe\u0301", "stra\u00dfe", "strasse", "\u0131", "i", "I"),
    *(
        "\u0130",
        "o'neil",
        "o''neil",
        'say "hi"',
        "back\\slash",
        "back\\\\slash",
        "\\N",
        "100%",
        "a_b",
        "a*b",
        "{x}",
        "$1",
    ),
    *(";--", "a,b", "tab\there", "line\nbreak", "\U0001f680", "\uff5e", "\u202ertl", "\ufeffbom", "\u00a0", " "),
)


class Scene:
    """The source under construction; the tenants in it by role."""

    def __init__(
        self, rng: random.Random, first: date, last: date, zone: str, clock: datetime, tables: set[str]
    ) -> None:
        """An empty source of `tables`, around the days `first` to `last`."""
        self.rng = rng
        self.first = first
        self.last = last
        self.zone = zone
        self.clock = clock
        self.source: Source = {table: [] for table in TABLES if table in tables}
        self.roles: dict[str, list[str]] = {}
        self._ids: dict[str, int] = {}
        self._hostile_ids = rng.sample(HOSTILE_IDS, len(HOSTILE_IDS))
        self.days = days_between(first, last)
        self.midnights = [self.end(day) + step for day in [first - timedelta(days=1), *self.days] for step in AROUND]
        self.window_starts = [self.end(day - timedelta(days=30)) + step for day in self.days for step in AROUND]
        self.long_ago = self.end(first - timedelta(days=400))

    def end(self, day: date) -> datetime:
        """end(D)."""
        return end_of(day, self.zone)

    def edge(self) -> datetime:
        """An instant at, just before or just after the edge of a day or of a 30-day window."""
        return self.rng.choice(self.midnights if self.rng.random() < 0.6 else self.window_starts)

    def moment(self) -> datetime:
        """An instant in the windows of the days; every third one at an edge."""
        if self.rng.random() < 0.3:
            return self.edge()
        earliest = self.end(self.first - timedelta(days=40))
        return earliest + self.rng.random() * (self.end(self.last) - earliest)

    def period(self) -> tuple[datetime, datetime | None]:
        """A start and an end at or after it, or none."""
        start, end = sorted((self.moment(), self.moment()))
        return start, self.rng.choice([end, end, None])

    def new_id(self, table: str) -> str:
        """An id that is new in its table: first the hostile ones, then plain numbers behind a letter."""
        n = self._ids.get(table, 0)
        self._ids[table] = n + 1
        return self._hostile_ids[n] if n < len(self._hostile_ids) else f"{table[0]}{n}"

    def add(self, table: str, **values: Any) -> bool:
        """Add a row, if its table is included and none of its facts lies after the clock; says whether it did."""
        contract = TABLES[table]
        ahead = any(
            values.get(column) is not None and values[column] > self.clock
            for column in timestamp_columns(contract)
            if column not in MAY_LIE_AHEAD
        )
        return not ahead and self.add_anyway(table, **values)

    def add_anyway(self, table: str, **values: Any) -> bool:
        """Add a row, if its table is included, whatever is in it."""
        if table not in self.source:
            return False
        row: Row = {column: values.pop(column, None) for column in TABLES[table].columns}
        if values:
            raise ValueError(f"{table} has no column {sorted(values)}")
        self.source[table].append(row)
        return True

    def tenants(self, role: str) -> list[str]:
        """The ids of the tenants that play a role."""
        return self.roles.get(role, [])

    def all_tenants(self) -> list[str]:
        """The ids of all tenants."""
        return [tenant_id for tenant_ids in self.roles.values() for tenant_id in tenant_ids]

    def add_user(self, tenant_id: str, **values: Any) -> str:
        """Add a user, created long ago unless told otherwise, and return the user_id."""
        user_id = self.new_id("users")
        self.add("users", **{"user_id": user_id, "tenant_id": tenant_id, "created_at": self.long_ago, **values})
        return user_id

    def add_event(self, tenant_id: str, user_id: str, event_type: str, occurred_at: datetime, **values: Any) -> None:
        """Add an event, with or without an event_id."""
        event_id = self.rng.choice([None, "", self.new_id("events")])
        keys = {"tenant_id": tenant_id, "user_id": user_id, "event_type": event_type, "occurred_at": occurred_at}
        self.add("events", **{**keys, "event_id": event_id, **values})
