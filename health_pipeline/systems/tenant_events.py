"""Which events tenant health reads, and how it counts them: those it needs, in one look, and what lies before the days aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import ibis
import ibis.expr.types as ir

from health_pipeline.days import DayRange, at
from health_pipeline.metrics.events import as_daily_events, daily_events, settled_logins, settled_uses
from health_pipeline.metrics.login_days import LOGIN
from health_pipeline.metrics.steps import Steps, before_windows
from health_pipeline.metrics.usage import EVENT_FIGURES
from health_pipeline.sources import contract
from health_pipeline.sources.counted import Aside, CountedRows, counts_aside
from health_pipeline.sources.found import any_of
from health_pipeline.sources.logical import Predicate
from health_pipeline.sources.reader import SourceReader
from health_pipeline.systems.common import impossible_events
from health_pipeline.systems.context import RunContext


def lag_days(context: RunContext) -> int:
    """How many days before its own the score lies that a trend compares with."""
    return context.policy.tenant_health.trend.lag_days


@dataclass(frozen=True)
class TenantEvents:
    """The events of a run. base_day: up to which uses were counted before; None: they are to be counted for later runs."""

    reader: SourceReader
    context: RunContext
    days: DayRange
    base_day: date | None

    @property
    def before_windows(self) -> date:
        """The last day before all windows."""
        return before_windows(self.days, lag_days(self.context))

    @property
    def before_restated_windows(self) -> date:
        """The same of the night after which the last of the days is the newest."""
        last = self.days.last
        restated = DayRange(last - timedelta(days=self.context.restate_days), last)
        return before_windows(restated, lag_days(self.context))

    @property
    def steps(self) -> Steps:
        ends = [self.before_restated_windows] if self.base_day is None else []
        return Steps.of(self.days, lag_days(self.context), *ends)

    def counted(self, events: ir.Table, also: Sequence[str] = ()) -> ir.Table:
        return daily_events(events, self.context.calendar, self.days, self.steps, also)

    def begun(self) -> Callable[[], ir.Table | None]:
        """Begin to read: of the days the events that figures count, those of an unknown type and all that may repeat; of these
        and the windows before them the logins, the uses of features and what can only be bad; before that the uses that weren't
        counted before. And what has no instant, or an impossible one."""
        wanted = _Wanted.of(self)
        parts: list[Predicate] = [wanted.unsettled]
        asides = self._asides(wanted)
        if not (wanted.has_features and counts_aside(self.reader, contract.EVENTS)):
            # Then they are looked at once.
            parts, asides = [any_of([*parts, *(aside.where for aside in asides)])], []
        parts += impossible_events(self.context.clock, wanted.end)
        return CountedRows(
            self.reader,
            contract.EVENTS,
            ["feature_key"],
            parts,
            self.counted,
            is_little=self.steps.is_few,
            asides=asides,
        ).begun()

    def _asides(self, wanted: _Wanted) -> list[Aside]:
        """What counts before the days, and of many days logins too."""
        calendar, steps = self.context.calendar, self.steps
        uses = Aside(wanted.settled_uses, lambda rows, also: settled_uses(rows, calendar, steps, also))
        logins = Aside(
            wanted.settled_logins,
            lambda rows, also: settled_logins(rows, calendar, steps, also),
            lambda groups, also: as_daily_events(groups, steps, also),
            # A night has few events of its own day to read, so the sessions share what is counted.
            is_meanwhile=not steps.is_few,
        )
        return [
            *([logins] if wanted.windows < wanted.logins_until else []),
            *([uses] if wanted.has_features and wanted.first < wanted.settled_until else []),
        ]


@dataclass(frozen=True)
class _Wanted:
    """Which events before `end` are read, as predicates that exclude each other; instants, UTC.

    may_repeat: whether there can be events of one event_id, which have to be compared. first: of the first use that is read.
    windows: the start of all windows; start: of the days. settled_until: before it an event counts as a use, by tenant and
    feature, and as a login alone. logins_until: before it a login that uses no feature is counted aside.
    """

    reader: SourceReader
    has_features: bool
    may_repeat: bool
    first: datetime
    settled_until: datetime
    logins_until: datetime
    windows: datetime
    start: datetime
    end: datetime

    @classmethod
    def of(cls, events: TenantEvents) -> _Wanted:
        calendar, days, steps = events.context.calendar, events.days, events.steps
        windows, start = calendar.end(events.before_windows), calendar.start(days.first)
        has_features = events.reader.has_column(contract.EVENTS, "feature_key")
        found = events.reader.find(contract.EVENTS)
        uncounted = contract.EARLIEST_INSTANT if events.base_day is None else calendar.end(events.base_day)
        return cls(
            reader=events.reader,
            has_features=has_features,
            may_repeat=found is not None and found.may_repeat_keys,
            first=min(uncounted, windows) if has_features else windows,
            settled_until=start if steps.is_few else calendar.end(steps.days[0]),
            logins_until=start if steps.is_few else calendar.end(days.last),
            windows=windows,
            start=start,
            end=calendar.end(days.last),
        )

    @property
    def has_logins_apart(self) -> bool:
        """Whether logins are counted aside of days of which other events are read."""
        return self.logins_until > self.settled_until

    def settled_uses(self, rows: ir.Table) -> ir.BooleanValue:
        return _between(rows, self.first, self.settled_until) & self._has_feature(rows)

    def settled_logins(self, rows: ir.Table) -> ir.BooleanValue:
        """And what can only be bad, where nothing else is read of these days."""
        is_wanted = rows.event_type == LOGIN
        if not self.has_logins_apart:
            is_wanted |= self._can_only_be_bad(rows)
        return _between(rows, self.windows, self.logins_until) & ~self._has_feature(rows).fill_null(False) & is_wanted

    def unsettled(self, rows: ir.Table) -> ir.BooleanValue:
        when = rows.occurred_at
        # What is often true comes first, and what costs most last: a source looks no further than it has to.
        is_login = rows.event_type == LOGIN
        kept = ((when >= at(when, self.start)) & self._counts_on_its_day(rows)) | self._can_only_be_bad(rows)
        kept = ~is_login.fill_null(False) & kept if self.has_logins_apart else is_login | kept
        if self.settled_until < self.windows:
            kept = (when >= at(when, self.windows)) & kept
        return _between(rows, self.settled_until, self.end) & (self._has_feature(rows) | kept)

    def _can_only_be_bad(self, rows: ir.Table) -> ir.BooleanValue:
        """Whether an event that counts for nothing is bad."""
        texts = (value != "" for value in (rows.user_id, rows.event_type, rows.tenant_id))
        return ~ibis.and_(*texts, ~self.reader.of_no_good_tenant(rows)).fill_null(False)

    def _counts_on_its_day(self, rows: ir.Table) -> ir.BooleanValue:
        """Whether it counts for itself, as a type to be reported, as one that may repeat, or is of the future."""
        kind = rows.event_type
        if self.may_repeat:
            return ibis.literal(True)
        is_counted = kind.isin(list(EVENT_FIGURES)) | kind.notin(sorted(contract.KNOWN_EVENT_TYPES))
        clock = self.reader.clock
        return is_counted | (rows.occurred_at > at(rows.occurred_at, clock)) if clock < self.end else is_counted

    def _has_feature(self, rows: ir.Table) -> ir.BooleanValue:
        return rows.feature_key != "" if self.has_features else ibis.literal(False)


def _between(rows: ir.Table, first: datetime, until: datetime) -> ir.BooleanValue:
    when = rows.occurred_at
    return (when >= at(when, first)) & (when < at(when, until))
