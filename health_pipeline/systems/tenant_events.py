"""Which events tenant health reads, and how it counts them: those it needs, in one look, and uses of features of the past aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import ibis
import ibis.expr.types as ir

from health_pipeline.days import DayRange, at
from health_pipeline.metrics.events import LOGIN, daily_events, settled_uses
from health_pipeline.metrics.steps import Steps, before_windows
from health_pipeline.metrics.usage import EVENT_FIGURES
from health_pipeline.sources import contract
from health_pipeline.sources.counted import Aside, CountedRows, counts_aside
from health_pipeline.sources.logical import Predicate
from health_pipeline.sources.reader import SourceReader
from health_pipeline.systems.common import impossible_events
from health_pipeline.systems.context import RunContext


@dataclass(frozen=True)
class TenantEvents:
    """The events of a run."""

    reader: SourceReader
    context: RunContext
    days: DayRange

    @property
    def before_windows(self) -> date:
        """The last day before all windows."""
        return before_windows(self.days, self._lag_days)

    @property
    def before_restated_windows(self) -> date:
        """The same of the night after which the last of the days is the newest."""
        last = self.days.last
        restated = DayRange(last - timedelta(days=self.context.restate_days), last)
        return before_windows(restated, self._lag_days)

    @property
    def _lag_days(self) -> int:
        return self.context.policy.tenant_health.trend.lag_days

    @property
    def steps(self) -> Steps:
        return Steps.of(self.days, self._lag_days, self.before_windows, self.before_restated_windows)

    def counted(self, events: ir.Table, also: Sequence[str] = ()) -> ir.Table:
        return daily_events(events, self.context.calendar, self.days, self.steps, also)

    def begun(self, base_day: date | None) -> Callable[[], ir.Table | None]:
        """Begin to read: of the days the events that figures count, those of an unknown type and all that may repeat; of these
        and the windows before them the logins, the uses of features and what can only be bad; before that every use after the
        base's day (None: every use). And what has no instant, or an impossible one."""
        steps, calendar = self.steps, self.context.calendar
        wanted = _Wanted.of(self, base_day)
        parts: list[Predicate] = list(impossible_events(self.context.clock, wanted.end))
        aside = None
        if wanted.has_features and wanted.first < wanted.settled_until and counts_aside(self.reader, contract.EVENTS):
            known = steps if steps.is_few else steps.before_windows
            aside = Aside(wanted.settled, lambda rows, also: settled_uses(rows, calendar, known, also))
            parts.insert(0, wanted.unsettled)
        else:
            parts.insert(0, lambda rows: wanted.settled(rows) | wanted.unsettled(rows))
        columns = ["feature_key"]
        return CountedRows(
            self.reader, contract.EVENTS, columns, parts, self.counted, is_little=steps.is_few, aside=aside
        ).begun()


@dataclass(frozen=True)
class _Wanted:
    """Which events before `end` are read, as predicates that exclude each other; instants, UTC.

    may_repeat: whether there can be events of one event_id, which have to be compared. first: of the first use that is read.
    windows: the start of all windows; start: of the days. settled_until: uses before it count by tenant and feature alone.
    """

    reader: SourceReader
    has_features: bool
    may_repeat: bool
    first: datetime
    settled_until: datetime
    windows: datetime
    start: datetime
    end: datetime

    @classmethod
    def of(cls, events: TenantEvents, base_day: date | None) -> _Wanted:
        calendar, days, steps = events.context.calendar, events.days, events.steps
        windows = calendar.end(events.before_windows)
        has_features = events.reader.has_column(contract.EVENTS, "feature_key")
        found = events.reader.find(contract.EVENTS)
        uncounted = contract.EARLIEST_INSTANT if base_day is None else calendar.end(base_day)
        return cls(
            reader=events.reader,
            has_features=has_features,
            may_repeat=found is not None and found.may_repeat_keys,
            first=min(uncounted, windows) if has_features else windows,
            settled_until=calendar.start(days.first) if steps.is_few else calendar.end(steps.days[0]),
            windows=windows,
            start=calendar.start(days.first),
            end=calendar.end(days.last),
        )

    def settled(self, rows: ir.Table) -> ir.BooleanValue:
        when = rows.occurred_at
        return (when >= at(when, self.first)) & (when < at(when, self.settled_until)) & self._is_use(rows)

    def unsettled(self, rows: ir.Table) -> ir.BooleanValue:
        # What is often true comes first, and what costs most last: a source looks no further than it has to.
        when, kind = rows.occurred_at, rows.event_type
        lacking = ibis.or_(*(value.isnull() | (value == "") for value in (rows.tenant_id, rows.user_id, kind)))
        useless = ~self._is_use(rows).fill_null(False)
        kept = (kind == LOGIN) | ((when >= at(when, self.start)) & self._counts_on_its_day(rows))
        kept |= useless & (lacking | self.reader.of_no_good_tenant(rows))
        if self.first < self.windows:
            kept = ((when >= at(when, self.windows)) | self._has_feature(rows)) & kept
        kept = ((when >= at(when, self.settled_until)) & self._is_use(rows)) | kept
        return (when >= at(when, self.first)) & (when < at(when, self.end)) & kept

    def _counts_on_its_day(self, rows: ir.Table) -> ir.BooleanValue:
        """Whether it counts for itself, as a type to be reported, as one that may repeat, or is of the future."""
        kind = rows.event_type
        if self.may_repeat:
            return ibis.literal(True)
        is_counted = kind.isin(list(EVENT_FIGURES)) | kind.notin(sorted(contract.KNOWN_EVENT_TYPES))
        clock = self.reader.clock
        return is_counted | (rows.occurred_at > at(rows.occurred_at, clock)) if clock < self.end else is_counted

    def _is_use(self, rows: ir.Table) -> ir.BooleanValue:
        """Whether it counts as a use of a feature and as nothing else; may be null."""
        return self._has_feature(rows) & (rows.event_type != LOGIN)

    def _has_feature(self, rows: ir.Table) -> ir.BooleanValue:
        return rows.feature_key != "" if self.has_features else ibis.literal(False)
