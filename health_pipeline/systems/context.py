"""What a run of any system needs, resolved once: URLs, policy, mapping, calendar and the run's clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from health_pipeline.days import Calendar
from health_pipeline.policy.load import load_policy
from health_pipeline.policy.model import Policy
from health_pipeline.settings import Settings
from health_pipeline.sources.connect import connect
from health_pipeline.sources.engine import memory_errors
from health_pipeline.sources.mapping import Mapping, load_mapping
from health_pipeline.sources.reader import SourceReader
from health_pipeline.warehouse.records import record_bad_rows


@dataclass(frozen=True)
class RunContext:
    """One run. clock: the instant after which no fact can lie, UTC."""

    run_id: str
    clock: datetime
    source_url: str
    warehouse_url: str
    mapping: Mapping
    policy: Policy
    calendar: Calendar
    max_bad_share: float
    source_timeout_seconds: int
    engine_memory_mb: int
    most_engine_memory_mb: int
    restate_days: int

    @classmethod
    def of(cls, settings: Settings, source_url: str, warehouse_url: str, run_id: str, clock: datetime) -> RunContext:
        """Raises PolicyError or MappingError for a file that is refused."""
        return cls(
            run_id=run_id,
            clock=clock,
            source_url=source_url,
            warehouse_url=warehouse_url,
            mapping=load_mapping(settings.source_mapping),
            policy=load_policy(settings.policy),
            calendar=settings.calendar,
            max_bad_share=settings.max_bad_share,
            source_timeout_seconds=settings.source_timeout_seconds,
            engine_memory_mb=settings.engine_memory_mb,
            most_engine_memory_mb=settings.most_engine_memory_mb,
            restate_days=settings.restate_days,
        )

    def with_more_memory(self) -> RunContext | None:
        """The same with twice the memory for the engine; None where it has as much as it may take."""
        if self.engine_memory_mb >= self.most_engine_memory_mb:
            return None
        return replace(self, engine_memory_mb=min(2 * self.engine_memory_mb, self.most_engine_memory_mb))

    @contextmanager
    def reading(self, *, is_recorded: bool = True) -> Iterator[SourceReader]:
        """A reader of one snapshot of the source, checked against the contract. Its bad rows are recorded at the end, also
        when the run fails over them; a mere look at the source records nothing (is_recorded False)."""
        connector = connect(self.source_url, self.source_timeout_seconds, self.engine_memory_mb)
        reader = SourceReader(connector, self.mapping, self.clock)
        try:
            reader.check()
            try:
                with memory_errors(self.engine_memory_mb):
                    yield reader
            finally:
                if is_recorded:
                    bad = [row for rows in reader.bad_rows.values() for row in rows]
                    record_bad_rows(self.warehouse_url, bad, self.run_id, self.clock)
        finally:
            connector.close()
