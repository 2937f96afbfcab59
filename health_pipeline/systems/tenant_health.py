"""Tenant health for a range of days: read the source once, compute the whole range, write it in one transaction.

Rule: tenant-health.md. The range gives exactly the rows of its days run one by one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import cast

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from health_pipeline.days import DayRange, merged
from health_pipeline.errors import InvalidResult
from health_pipeline.metrics.adoption import FeatureUse, UseBase, feature_use
from health_pipeline.metrics.tenants import tenant_days
from health_pipeline.metrics.usage import UsageInputs, usage_metrics
from health_pipeline.scoring.peer_benchmarks import peer_tables
from health_pipeline.scoring.profiles import tenant_profiles
from health_pipeline.scoring.tenant_health import KEYS, tenant_health_scores
from health_pipeline.sources import contract
from health_pipeline.sources.reader import Connector, SourceReader
from health_pipeline.systems.common import (
    ROWS_PER_BATCH,
    ReadFacts,
    check_left_out,
    record_facts,
    tenant_named,
)
from health_pipeline.systems.context import RunContext
from health_pipeline.systems.meanwhile import meanwhile
from health_pipeline.systems.tenant_events import lag_days
from health_pipeline.systems.tenant_source import UseSource, counted_base, read_uses, usable_base
from health_pipeline.tables import tenant_health as tables
from health_pipeline.tables.declare import Table
from health_pipeline.tables.frames import as_arrow, as_frame, validated
from health_pipeline.tables.records import FEATURE_USE_BASE, UNSCORED_TENANTS
from health_pipeline.warehouse.records import record_policy
from health_pipeline.warehouse.use_base import CountedBase, store_base
from health_pipeline.warehouse.writer import Writer, writing


@dataclass(frozen=True)
class SourceFacts(ReadFacts):
    """What a run found out about its source, by table or key: counts only."""

    unknown_event_types: dict[str, int]
    untracked_features: dict[str, int]
    cases_judged_by_status: int


@dataclass(frozen=True)
class TenantHealth:
    """The computed range, as frames by table; but for feature_adoption, the large one, which goes from the engine to the warehouse.

    use_base: what the next nights can go on from. unscored: rows of unscored_tenants. rows_per_day: rows written by table and day.
    """

    days: DayRange
    frames: dict[str, pd.DataFrame]
    use_base: CountedBase | None
    unscored: pd.DataFrame
    facts: SourceFacts
    rows_per_day: dict[str, dict[date, int]]


def run_tenant_health(
    context: RunContext, days: DayRange, names: frozenset[str], tenant: str | None = None
) -> TenantHealth:
    """Compute the range and replace it in the named tables, all in one transaction.

    tenant: an id or slug; only its rows are replaced then, but for those that compare peers, which always are of all tenants.
    A tenant whose computed rows break their table's declaration is left out of everything and recorded as unscored; the rest
    goes on. Raises UserError for anything a user has to mend; then nothing was written but records of bad rows.
    """
    chosen = [table for table in tables.TENANT_HEALTH_TABLES if table.name in names]
    with meanwhile() as thread:
        # While the source is opened, as most of either is to connect.
        stored = thread.begin(lambda: usable_base(context, days))
        with context.reading() as reader:
            tenant_id = None if tenant is None else tenant_named(reader, tenant)
            record_policy(context.warehouse_url, context.policy.tenant_health, context.clock)
            left_out: dict[str, str] = {}
            while True:
                try:
                    return _scored_and_written(reader, context, days, stored, left_out, chosen, tenant_id)
                except InvalidResult as error:
                    if not error.tenants.keys() - left_out.keys():
                        raise
                    left_out |= error.tenants
                    check_left_out(len(left_out), reader.rows_read[contract.TENANTS.name], context.max_bad_share, error)


@dataclass(frozen=True)
class _Adopted:
    """Feature adoption by range. adopted_features: rows of FeatureUse.adopted_features."""

    use: list[FeatureUse]
    adopted_features: list[pa.Table]


@dataclass(frozen=True)
class _Scoring:
    """What scores are made of. ranges: together they are the days and those that their trends compare with; the last holds the
    days. source: as it was read; inputs: without the tenants left out, with the reason in left_out."""

    days: DayRange
    ranges: list[DayRange]
    source: UseSource
    inputs: UsageInputs
    left_out: Mapping[str, str]
    adopted: Callable[[], _Adopted]


def _scored_and_written(
    reader: SourceReader,
    context: RunContext,
    days: DayRange,
    stored: Callable[[], UseBase | None],
    left_out: Mapping[str, str],
    chosen: list[Table],
    tenant_id: str | None,
) -> TenantHealth:
    """From one snapshot of the source. Feature adoption of few days is put together while the rest is read. Raises TooManyBadRows
    before anything is written."""
    connector = reader.connector
    with connector.beside() as beside, meanwhile(has_thread=beside is not None) as thread:
        source, all_inputs = read_uses(reader, context, days, stored)
        tenants = source.tenants
        if left_out:
            tenants = tenants.filter(~tenants.tenant_id.isin(sorted(left_out)))
        of_staying = replace(source, tenants=tenants)
        ranges = merged(days.shifted(-lag_days(context)), days)

        def begun() -> Callable[[], _Adopted]:
            return thread.begin(lambda: _adopted(connector, context, ranges, of_staying, beside))

        # Of many days it needs the memory that the rest needs as it comes.
        early = begun() if source.steps.is_few else None
        inputs = replace(all_inputs(), tenants=tenants)
        reader.check_share(context.max_bad_share)
        scoring = _Scoring(days, ranges, source, inputs, left_out, early or begun())
        written = [*chosen, UNSCORED_TENANTS, FEATURE_USE_BASE]
        with writing(context.warehouse_url, written, context.run_id, context.clock) as writer:
            return _written(reader, context, scoring, writer, chosen, tenant_id, has_thread=beside is not None)


def _adopted(
    connector: Connector,
    context: RunContext,
    ranges: list[DayRange],
    source: UseSource,
    beside: ibis.BaseBackend | None,
) -> _Adopted:
    category_of = context.policy.tenant_health.category_of

    def use(of_range: DayRange) -> FeatureUse:
        return feature_use(
            source.tenants,
            source.events,
            source.entitlements,
            category_of,
            context.calendar,
            of_range,
            source.base,
        )

    kept = [_kept(connector, use(of_range), beside) for of_range in ranges]
    return _Adopted(kept, [one.adopted_features().to_pyarrow() for one in kept])


def _written(
    reader: SourceReader,
    context: RunContext,
    scoring: _Scoring,
    writer: Writer,
    chosen: list[Table],
    tenant_id: str | None,
    *,
    has_thread: bool,
) -> TenantHealth:
    """Compute the tables; each is written while the next is computed, feature_adoption, the largest, first."""
    days, tenants = scoring.days, reader.rows_read[contract.TENANTS.name]
    counts: dict[str, dict[date, int]] = {table.name: {} for table in chosen}
    if not scoring.source.steps.is_few:
        # To write many days takes longest, so what that waits for has the engine to itself.
        scoring.adopted()
    with meanwhile(has_thread=has_thread) as thread:

        def write(table: Table, frames: Callable[[], Iterable[pd.DataFrame]]) -> None:
            only = None if table in tables.PEER_TABLES else tenant_id

            def replace_rows() -> None:
                writer.replace(table, days, _validated_rows(table, frames(), only, counts[table.name]), only)

            if table in chosen:
                thread.begin(replace_rows)

        write(tables.FEATURE_ADOPTION, lambda: _of_adoption(scoring.adopted().use[-1], days, tenants, thread.stop))
        result = _scored(reader, context, scoring, counts, write)
    _write_records(result, writer, chosen, tenant_id)
    record_facts(writer, tables.GROUP, days, result.facts, tenant_id)
    return result


def _kept(connector: Connector, use: FeatureUse, beside: ibis.BaseBackend | None) -> FeatureUse:
    return replace(use, stretches=connector.kept(use.stretches, beside))


def _write_records(result: TenantHealth, writer: Writer, chosen: list[Table], tenant_id: str | None) -> None:
    if result.use_base is not None:
        store_base(writer.connection, result.use_base, writer.run_id)
    if tables.TENANT_HEALTH_SCORES in chosen:
        unscored = result.unscored
        of_tenant = unscored if tenant_id is None else unscored[unscored["tenant_id"] == tenant_id]
        writer.replace(UNSCORED_TENANTS, result.days, [as_arrow(UNSCORED_TENANTS, of_tenant)], tenant_id)


def _validated_rows(
    table: Table, frames: Iterable[pd.DataFrame], tenant_id: str | None, counts: dict[date, int]
) -> Iterator[pa.Table]:
    """The rows of the frames, each validated before it is handed to the writer, and counted by day."""
    for frame in frames:
        of_tenant = frame if tenant_id is None else frame[frame["tenant_id"] == tenant_id]
        for moment, rows in validated(table, of_tenant)["metric_date"].value_counts().items():
            day = cast(pd.Timestamp, moment).date()
            counts[day] = counts.get(day, 0) + rows
        yield as_arrow(table, of_tenant)


def _of_adoption(use: FeatureUse, days: DayRange, tenants: int, stop: threading.Event) -> Iterator[pd.DataFrame]:
    table = tables.FEATURE_ADOPTION
    per_day = max(1, tenants * len(use.category_of))
    for piece in days.chunks(max(1, ROWS_PER_BATCH // per_day)):
        if stop.is_set():
            raise InterruptedError("the run ends for another reason")
        # They come in the order of the key: the table's index then grows at one end, in a third less time.
        yield as_frame(table, use.rows(piece).to_pyarrow())


def _scored(
    reader: SourceReader,
    context: RunContext,
    scoring: _Scoring,
    counts: dict[str, dict[date, int]],
    write: Callable[[Table, Callable[[], Iterable[pd.DataFrame]]], None],
) -> TenantHealth:
    """The other tables of the range, each begun to be written when it is there. counts: what the result says about rows per day,
    once they are written."""
    policy, days, inputs = context.policy.tenant_health, scoring.days, scoring.inputs
    frames: dict[str, pd.DataFrame] = {}

    def add(table: Table, computed: pd.DataFrame) -> None:
        frame = frames[table.name] = as_frame(table, computed)
        write(table, lambda: [frame])

    tenants = inputs.tenants.to_pandas()
    usage_rows = [usage_metrics(inputs, context.calendar, one).order_by(KEYS).to_pyarrow() for one in scoring.ranges]
    figures = [_figures(*of_range) for of_range in zip(usage_rows, scoring.adopted().adopted_features, strict=True)]
    all_figures = pd.concat(figures).merge(tenants[["tenant_id", "alert_level"]], on="tenant_id", how="left")
    usage = _of_days(all_figures, days)
    add(tables.USAGE_METRICS, usage)
    profiles = tenant_profiles(usage[KEYS], tenants, policy.peers.rules)
    add(tables.TENANT_PROFILES, profiles)
    scores = tenant_health_scores(all_figures, days, policy)
    add(tables.TENANT_HEALTH_SCORES, scores)
    peers = peer_tables(_peers(profiles, scores, usage), policy.peers.rules)
    add(tables.PEER_BENCHMARKS, peers.benchmarks)
    add(tables.TENANT_PEER_RANKS, peers.ranks)
    return TenantHealth(
        days=days,
        frames=frames,
        use_base=counted_base(scoring.source, reader, context, days),
        unscored=_unscored(reader, context, scores, scoring.source.tenants, scoring.left_out, days),
        facts=_facts(reader, context, days, inputs),
        rows_per_day=counts,
    )


def _figures(usage: pa.Table, adopted_features: pa.Table) -> pd.DataFrame:
    """usage_metrics with adopted_features, in the types of their declarations."""
    adopted = adopted_features.to_pandas().astype({"metric_date": "datetime64[us]", "adopted_features": "Int64"})
    figures = as_frame(tables.USAGE_METRICS, usage).merge(adopted, on=KEYS, how="left", validate="one_to_one")
    return figures.fillna({"adopted_features": 0})


def _unscored(
    reader: SourceReader,
    context: RunContext,
    scores: pd.DataFrame,
    tenants: ir.Table,
    left_out: Mapping[str, str],
    days: DayRange,
) -> pd.DataFrame:
    """Rows of unscored_tenants: nothing measured, left out, or only bad rows in the source (on every day: who knows its life)."""
    silent = scores.loc[scores["overall_score"].isna(), KEYS].assign(reason="nothing was measured")
    of_left_out = tenant_days(tenants.filter(tenants.tenant_id.isin(sorted(left_out))), context.calendar, days).select(
        *KEYS
    )
    broken = of_left_out.to_pandas().astype({"metric_date": "datetime64[us]"})
    broken["reason"] = "a computed row breaks a rule: " + broken["tenant_id"].map(dict(left_out)).astype("str")
    bad = pd.DataFrame(
        [
            {"metric_date": day, "tenant_id": tenant_id, "reason": f"its row in tenants is bad: {fault}"}
            for tenant_id, fault in reader.bad_tenants().items()
            for day in days
        ],
        columns=UNSCORED_TENANTS.column_names,
    )
    return as_frame(UNSCORED_TENANTS, pd.concat([silent, broken, bad], ignore_index=True))


def _of_days(frame: pd.DataFrame, days: DayRange) -> pd.DataFrame:
    inside = frame["metric_date"].between(pd.Timestamp(days.first), pd.Timestamp(days.last))
    return frame[inside].reset_index(drop=True)


def _peers(profiles: pd.DataFrame, scores: pd.DataFrame, usage: pd.DataFrame) -> pd.DataFrame:
    """The input of peer_tables: a tenant's attributes and its seven metrics."""
    ratio = usage["active_users"].astype("Float64") / usage["total_users"].mask(usage["total_users"] == 0).astype(
        "Float64"
    )
    peers = profiles.merge(scores.drop(columns="alert_level"), on=KEYS, validate="one_to_one")
    return peers.merge(usage[KEYS].assign(active_user_ratio=ratio), on=KEYS, validate="one_to_one")


def _facts(reader: SourceReader, context: RunContext, days: DayRange, inputs: UsageInputs) -> SourceFacts:
    events = inputs.events
    on_days = events.filter(events.day.between(ibis.date(days.first), ibis.date(days.last)))
    unknown = on_days.filter(~on_days.event_type.isin(sorted(contract.KNOWN_EVENT_TYPES)))
    tracked = list(context.policy.tenant_health.category_of)
    untracked = on_days.filter(on_days.feature_key.notnull() & ~on_days.feature_key.isin(tracked))
    cases = inputs.cases
    return SourceFacts.of(
        reader,
        unknown_event_types=_counts(unknown, "event_type"),
        untracked_features=_counts(untracked, "feature_key"),
        cases_judged_by_status=0 if cases is None else int(cases.filter(cases.sla_due_at.isnull()).count().execute()),
    )


def _counts(rows: ir.Table, column: str) -> dict[str, int]:
    counted = rows.group_by(column).agg(rows=rows.row_count.sum()).to_pyarrow().to_pylist()
    return {row[column]: row["rows"] for row in sorted(counted, key=lambda row: row[column])}


def risk_counts(scores: pd.DataFrame, day: date) -> dict[str, int]:
    """How many tenants have each risk level on the day; `unscored` for those without one."""
    levels = scores.loc[scores["metric_date"] == pd.Timestamp(day), "risk_level"].fillna("unscored")
    return {level: int((levels == level).sum()) for level in (*tables.RISK_LEVELS, "unscored")}
