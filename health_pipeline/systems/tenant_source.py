"""What tenant health reads: one snapshot of the source, and of the history of feature use only what wasn't counted before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources
from urllib.parse import urlsplit, urlunsplit

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from health_pipeline.days import DayRange, at
from health_pipeline.metrics.adoption import UseBase, uses_until
from health_pipeline.metrics.assignments import daily_assignments
from health_pipeline.metrics.steps import Steps, before_windows
from health_pipeline.metrics.usage import UsageInputs
from health_pipeline.sources import contract
from health_pipeline.sources.counted import Aside, CountedRows, counts_aside, every_row
from health_pipeline.sources.faults import UNKNOWN_TENANT
from health_pipeline.sources.logical import Predicate
from health_pipeline.sources.reader import SourceReader
from health_pipeline.systems.context import RunContext
from health_pipeline.systems.tenant_events import TenantEvents, lag_days
from health_pipeline.warehouse.use_base import CountedBase, stored_base

_MOMENT = timedelta(microseconds=1)
_CODE = (
    *("days", "metrics/adoption", "metrics/events", "metrics/login_days", "metrics/steps"),
    *("sources/contract", "sources/counted", "sources/faults", "sources/found", "sources/logical", "sources/reader"),
    "systems/tenant_events",
)


@dataclass(frozen=True)
class UseSource:
    """The good rows that feature adoption is made of, events as daily_events counts them by the steps.

    base: uses that were counted before; None: `events` holds them all.
    """

    steps: Steps
    tenants: ir.Table
    events: ir.Table
    entitlements: ir.Table | None
    base: UseBase | None


def read_uses(
    reader: SourceReader, context: RunContext, days: DayRange, stored: Callable[[], UseBase | None]
) -> tuple[UseSource, Callable[[], UsageInputs]]:
    """What the days need for feature adoption; and what gives all that usage needs, once the rest of it has come.

    stored: waits for the base.
    """
    tenants = reader.read(contract.TENANTS)
    base = stored()
    of_run = TenantEvents(reader, context, days, base.as_of if base else None)
    # What is little, or counted by the source itself, comes while most is read: first what is waited for first, then what
    # takes longest.
    events = of_run.begun()
    entitlements = reader.begun(contract.FEATURE_ENTITLEMENTS)
    assignments = _begun_assignments(of_run)
    cases = reader.begun(contract.CASES, parts=[_since_windows(of_run, "created_at", "closed_at")])
    campaigns = reader.begun(contract.CAMPAIGNS)
    tickets = reader.begun(contract.SUPPORT_TICKETS, parts=[_since_windows(of_run, "opened_at")])
    users = reader.begun(contract.USERS, columns=["deactivated_at"])
    counted_events = events()
    # These tables are required, and the reader's check has seen them.
    assert tenants is not None
    assert counted_events is not None
    source = UseSource(of_run.steps, tenants, counted_events, entitlements(), base)

    def inputs() -> UsageInputs:
        all_users = users()
        assert all_users is not None
        read = UsageInputs(
            steps=source.steps,
            tenants=source.tenants,
            users=all_users,
            events=source.events,
            cases=cases(),
            campaigns=campaigns(),
            campaign_assignments=assignments(),
            support_tickets=tickets(),
        )
        reader.begin_freshness()
        return read

    return source, inputs


def _begun_assignments(of_run: TenantEvents) -> Callable[[], ir.Table | None]:
    steps = Steps.of_totals(of_run.days, lag_days(of_run.context))
    calendar, table = of_run.context.calendar, contract.CAMPAIGN_ASSIGNMENTS

    def counted(rows: ir.Table, also: Sequence[str]) -> ir.Table:
        return daily_assignments(rows, calendar, steps, also)

    is_aside = steps.is_few and counts_aside(of_run.reader, table)
    asides = [Aside(every_row, counted)] if is_aside else []
    return CountedRows(of_run.reader, table, [], [], counted, is_meanwhile=True, asides=asides).begun()


def _since_windows(of_run: TenantEvents, *columns: str) -> Predicate:
    """All rows but those of which these instants lie before every window: they count on no day of the run."""
    windows = of_run.context.calendar.end(of_run.before_windows)

    def since(rows: ir.Table) -> ir.BooleanValue:
        past = (
            rows[name].between(at(rows[name], contract.EARLIEST_INSTANT), at(rows[name], windows - _MOMENT))
            for name in columns
        )
        return ~ibis.and_(*past).fill_null(False)

    return since


def usable_base(context: RunContext, days: DayRange) -> UseBase | None:
    """The stored base, where it was made by this code under these rules, not long ago, and ends before the windows."""
    until = before_windows(days, lag_days(context))
    stored = stored_base(context.warehouse_url, _fingerprint(context), until, context.clock)
    if stored is None:
        return None
    as_of, rows = stored
    for name in ("first_used_at", "last_used_at"):
        index = rows.column_names.index(name)
        rows = rows.set_column(index, name, rows[name].cast(pa.timestamp("us")))
    return UseBase(as_of, ibis.memtable(rows))


def counted_base(source: UseSource, reader: SourceReader, context: RunContext, days: DayRange) -> CountedBase | None:
    """The base from which the nights after these days can go on; None where these days went on from one themselves."""
    if source.base is not None or not reader.has_column(contract.EVENTS, "feature_key"):
        return None
    of_run = TenantEvents(reader, context, days, None)
    as_of = of_run.before_restated_windows
    tracked = context.policy.tenant_health.category_of
    uses = source.events.union(of_run.counted(_strays(reader)), distinct=False)
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
        *(package.joinpath(f"{name}.py").read_text(encoding="utf-8") for name in _CODE),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
