"""What is measured by itself in a process of its own, and what comes of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta

from benchmarks.measuring.stages import Costs
from health_pipeline.days import DAY, DayRange


@dataclass(frozen=True)
class Plan:
    """One range of days over one source.

    server, postmaster: URL of a database to administer the server from, and the server's first process. source, warehouse,
    dagster: the three databases of the deployment; prepared: the name of a copy of the warehouse as it is before the range.
    repeats: how often each is measured.
    """

    server: str
    postmaster: int
    source: str
    warehouse: str
    prepared: str
    dagster: str
    first: str
    last: str
    repeats: int

    @property
    def days(self) -> DayRange:
        return DayRange(date.fromisoformat(self.first), date.fromisoformat(self.last))

    @property
    def day_before(self) -> DayRange:
        return DayRange(self.days.first - DAY, self.days.first - DAY)

    @property
    def parameters(self) -> dict[str, date]:
        """The range for SQL: its first and last day, the end of it, and where its windows of 30 days begin."""
        first, last = self.days.first, self.days.last
        # The day before the first is scored too, for the trend; its window begins 30 days before its end.
        return {"first": first, "last": last, "end": last + DAY, "window": first - timedelta(days=30)}

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class Measured:
    """One run: wall and processor seconds (the server's included), its stages, rows by table.

    memory: at its peak, in bytes, where it was watched; else 0.
    """

    wall: float
    cpu: float
    stages: Costs = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    memory: int = 0
