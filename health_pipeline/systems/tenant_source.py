"""What tenant health reads: one snapshot of the source, and of the history of feature use only what wasn't counted before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from importlib import resources
from urllib.parse import urlsplit, urlunsplit

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from health_pipeline.days import DayRange
from health_pipeline.metrics.adoption import UseBase, uses_until
from health_pipeline.metrics.events import LOGIN, Steps, before_windows, daily_events
from health_pipeline.metrics.usage import UsageInputs
from health_pipeline.sources import contract
from health_pipeline.sources.faults import UNKNOWN_TENANT
from health_pipeline.sources.logical import Predicate, at
from health_pipeline.sources.reader import SourceReader
from health_pipeline.systems.common import impossible_events
from health_pipeline.systems.context import RunContext
from health_pipeline.warehouse.use_base import CountedBase, stored_base

_MOMENT = timedelta(microseconds=1)
_EARLIEST = datetime.fromisoformat(contract.EARLIEST_INSTANT).replace(tzinfo=UTC)
_CODE = (
    *("metrics/adoption.py", "metrics/events.py", "sources/contract.py", "sources/faults.py", "sources/logical.py"),
    "sources/reader.py",
)


@dataclass(frozen=True)
class TenantSource:
    """The good rows of a run. base: uses of features that were counted before; None: `inputs.events` holds them all."""

    inputs: UsageInputs
    entitlements: ir.Table | None
    base: UseBase | None


def read_tenants(reader: SourceReader, context: RunContext, days: DayRange) -> TenantSource:
    """What the days need."""
    base = _usable_base(context, days)
    tenants = reader.read(contract.TENANTS)
    users = reader.read(contract.USERS, columns=["deactivated_at"])
    parts = _event_parts(reader, context, days, base)
    counting, is_little = partial(_daily, context, days), _steps(context, days).is_few
    events = reader.read_counted(contract.EVENTS, ["feature_key"], parts, counting, is_little)
    # These tables are required, and the reader's check has seen them.
    assert tenants is not None
    assert users is not None
    assert events is not None
    inputs = UsageInputs(
        tenants=tenants,
        users=users,
        events=events,
        cases=reader.read(contract.CASES, parts=[_since_windows(context, days, "created_at", "closed_at")]),
        campaigns=reader.read(contract.CAMPAIGNS),
        campaign_assignments=reader.read(contract.CAMPAIGN_ASSIGNMENTS),
        support_tickets=reader.read(contract.SUPPORT_TICKETS, parts=[_since_windows(context, days, "opened_at")]),
    )
    return TenantSource(inputs, reader.read(contract.FEATURE_ENTITLEMENTS), base)


def _event_parts(reader: SourceReader, context: RunContext, days: DayRange, base: UseBase | None) -> list[Predicate]:
    """Which events a run reads, in one look over them: all of the range's days; of the windows before them the logins, the
    uses of features and what can only be bad; before that every use of a feature that the base doesn't count. And whatever has
    no instant, or an impossible one."""
    start, end = context.calendar.start(days.first), context.calendar.end(days.last)
    window_start = context.calendar.end(_before_windows(context, days))
    uncounted = context.calendar.end(base.as_of) if base else _EARLIEST
    has_features = reader.has_column(contract.EVENTS, "feature_key")
    first = min(uncounted, window_start) if has_features else window_start

    def needed(rows: ir.Table) -> ir.BooleanValue:
        when = rows.occurred_at
        ids = (rows.tenant_id, rows.user_id, rows.event_type)
        lacking = ibis.or_(*(value.isnull() | (value == "") for value in ids))
        # What is often true comes first, and what costs most last: a source looks no further than it has to.
        kept = (rows.event_type == LOGIN) | (when >= at(when, start)) | lacking | reader.of_no_good_tenant(rows)
        if first < window_start:
            kept &= when >= at(when, window_start)
        if has_features:
            kept = (rows.feature_key != "") | kept
        return (when >= at(when, first)) & (when < at(when, end)) & kept

    return [needed, *impossible_events(context.clock, end)]


def _since_windows(context: RunContext, days: DayRange, *columns: str) -> Predicate:
    """All rows but those of which these instants lie before every window: they count on no day of the run."""
    windows = context.calendar.end(_before_windows(context, days))

    def since(rows: ir.Table) -> ir.BooleanValue:
        past = (rows[name].between(at(rows[name], _EARLIEST), at(rows[name], windows - _MOMENT)) for name in columns)
        return ~ibis.and_(*past).fill_null(False)

    return since


def _daily(context: RunContext, days: DayRange, events: ir.Table, also: Sequence[str]) -> ir.Table:
    return daily_events(events, context.calendar, days, _steps(context, days), also)


def _steps(context: RunContext, days: DayRange) -> Steps:
    ends = (_before_windows(context, days), _before_windows(context, _restated(context, days)))
    return Steps.of(days, context.policy.tenant_health.trend.lag_days, *ends)


def _restated(context: RunContext, days: DayRange) -> DayRange:
    """The days of the night after which the last of these is the newest."""
    return DayRange(days.last - timedelta(days=context.restate_days), days.last)


def _before_windows(context: RunContext, days: DayRange) -> date:
    return before_windows(days, context.policy.tenant_health.trend.lag_days)


def _usable_base(context: RunContext, days: DayRange) -> UseBase | None:
    """The stored base, where it was made by this code under these rules, not long ago, and ends before the windows."""
    stored = stored_base(context.warehouse_url, _fingerprint(context), _before_windows(context, days), context.clock)
    if stored is None:
        return None
    as_of, rows = stored
    for name in ("first_used_at", "last_used_at"):
        index = rows.column_names.index(name)
        rows = rows.set_column(index, name, rows[name].cast(pa.timestamp("us")))
    return UseBase(as_of, ibis.memtable(rows))


def counted_base(source: TenantSource, reader: SourceReader, context: RunContext, days: DayRange) -> CountedBase | None:
    """The base from which the nights after these days can go on; None where these days went on from one themselves."""
    if source.base is not None or not reader.has_column(contract.EVENTS, "feature_key"):
        return None
    as_of = _before_windows(context, _restated(context, days))
    tracked = context.policy.tenant_health.category_of
    uses = source.inputs.events.union(_daily(context, days, _strays(reader), []), distinct=False)
    counted = uses_until(uses, tracked, as_of)
    return CountedBase(_fingerprint(context), as_of, context.clock, counted.to_pyarrow())


def _strays(reader: SourceReader) -> ir.Table:
    """Uses whose only fault is that their tenant isn't known, as it may be tomorrow."""
    bad = [json.loads(row.row) for row in reader.bad_rows.get(contract.EVENTS.name, []) if row.reason == UNKNOWN_TENANT]
    uses = [
        {name: row[name] for name in ("tenant_id", "user_id", "event_type", "feature_key")}
        | {"occurred_at": _naive(row["occurred_at"])}
        for row in bad
        if row["feature_key"] and row["occurred_at"]
    ]
    texts = dict.fromkeys(("tenant_id", "user_id", "event_type", "feature_key"), pa.string())
    schema = pa.schema([*texts.items(), ("occurred_at", pa.timestamp("us"))])
    return ibis.memtable(pa.Table.from_pylist(uses, schema))


def _naive(instant: str) -> datetime:
    return datetime.fromisoformat(instant).replace(tzinfo=None)


def _fingerprint(context: RunContext) -> str:
    """Changes with whatever could give other counts for the same facts."""
    address = urlsplit(context.source_url)
    package = resources.files("health_pipeline")
    parts = [
        urlunsplit(address._replace(netloc=address.netloc.rpartition("@")[2])),
        context.mapping.model_dump_json(),
        context.calendar.zone,
        *sorted(context.policy.tenant_health.category_of),
        *(package.joinpath(name).read_text(encoding="utf-8") for name in _CODE),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
