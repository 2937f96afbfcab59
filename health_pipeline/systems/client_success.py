"""Client success by day: engagement and momentum alerts. Read the source once, compute the range, write it in one transaction.

Rule: client-success.md. The range gives exactly the rows of its days run one by one. The Sundays' tables: client_weeks.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from health_pipeline.days import DayRange, sunday_of
from health_pipeline.metrics.client_alerts import (
    EPISODE_COLUMNS,
    open_alerts,
    silence_episodes,
    stalled_task_episodes,
)
from health_pipeline.metrics.clients import CLIENT
from health_pipeline.metrics.engagement import client_engagement, visits
from health_pipeline.scoring.client_success import (
    WEEK,
    client_success_scores,
    is_churn_risk,
    longest_churn_run,
    score_alerts,
)
from health_pipeline.sources import contract
from health_pipeline.sources.reader import SourceReader
from health_pipeline.systems.client_source import ClientFacts, ClientSource, read_clients, unknown_event_types
from health_pipeline.systems.common import ROWS_PER_BATCH, tenant_named, writing_system
from health_pipeline.systems.context import RunContext
from health_pipeline.tables import client_success as tables
from health_pipeline.tables.declare import Table
from health_pipeline.tables.frames import as_arrow, as_frame, validated
from health_pipeline.warehouse.writer import Writer


@dataclass(frozen=True)
class ClientDays:
    """The computed range: rows by table, which stay in the engine.

    rows_per_day: rows written by table and day. alerts_per_day: by day, then by (alert_type, severity).
    """

    days: DayRange
    rows: dict[Table, ir.Table]
    facts: ClientFacts
    rows_per_day: dict[str, dict[date, int]] = field(default_factory=dict)
    alerts_per_day: dict[date, Counter[tuple[str, str]]] = field(default_factory=dict)


def run_client_success(
    context: RunContext, days: DayRange, names: frozenset[str], tenant: str | None = None
) -> ClientDays:
    """Compute the range and replace it in the named daily tables, all in one transaction.

    tenant: an id or slug; only its rows are replaced then. Raises UserError for anything a user has to mend; then nothing
    was written but records of bad rows.
    """
    chosen = [table for table in tables.DAILY_TABLES if table.name in names]
    with context.reading() as reader:
        tenant_id = None if tenant is None else tenant_named(reader, tenant)
        result = compute_client_days(reader, context, days, chosen, tenant_id)
        written = [*chosen, tables.ALERT_SNAPSHOTS]
        with writing_system(context, "client_days", written, days, result.facts, tenant_id) as writer:
            for table in chosen:
                writer.replace(table, days, _batches(result, table), tenant_id)
            if tables.CLIENT_MOMENTUM_ALERTS in chosen and tenant_id is None:
                _record_snapshots(writer, context, days)
        return result


def compute_client_days(
    reader: SourceReader, context: RunContext, days: DayRange, chosen: list[Table], tenant_id: str | None = None
) -> ClientDays:
    """The chosen tables of the range, of one tenant or of all, from one snapshot of the source.

    Raises TooManyBadRows before anything is computed.
    """
    with_alerts = tables.CLIENT_MOMENTUM_ALERTS in chosen
    source = read_clients(reader, context, days, tenant_id, with_history=with_alerts)
    unknown = unknown_event_types(source, days)
    rows: dict[Table, ir.Table] = {}
    if tables.CLIENT_ENGAGEMENT in chosen:
        has_sessions = reader.has_column(contract.EVENTS, "session_id")
        has_durations = reader.has_column(contract.EVENTS, "duration_seconds")
        rows[tables.CLIENT_ENGAGEMENT] = client_engagement(
            source.activity,
            sorted(contract.KNOWN_EVENT_TYPES | unknown.keys()),
            source.policy.high_value_event_types,
            visits(source.events, context.calendar, days, has_sessions, has_durations),
            days,
        )
    if with_alerts:
        episodes = _episodes(source, context, days)
        rows[tables.CLIENT_MOMENTUM_ALERTS] = open_alerts(episodes, source.activity.lives, days)
    engine = reader.connector.engine
    stored = {table: engine.create_table(ibis.util.gen_name("days"), found, temp=True) for table, found in rows.items()}
    return ClientDays(days, stored, ClientFacts.of(reader, unknown_event_types=unknown))


def _episodes(source: ClientSource, context: RunContext, days: DayRange) -> ir.Table:
    """All episodes with a day in the range."""
    activity, rules, calendar = source.activity, source.policy.alerts, context.calendar
    episodes = silence_episodes(activity, rules, calendar, days, source.lookback)
    if activity.task_states is not None:
        stalled = stalled_task_episodes(activity.task_states, rules, calendar, days, source.lookback)
        episodes = episodes.union(stalled, distinct=False)
    of_scores = ibis.memtable(_score_episodes(source, days), schema=episodes.schema())
    return episodes.union(of_scores, distinct=False)


def _score_episodes(source: ClientSource, days: DayRange) -> pa.Table:
    """Episodes of score_drop and churn_risk: each holds from its Sunday to the next."""
    first = sunday_of(days.first)
    scores = _scores(source, first, sunday_of(days.last))
    alerts = score_alerts(scores, source.policy)
    alerts = alerts[alerts["metric_date"] >= pd.Timestamp(first)]
    open_day = (alerts["metric_date"] - pd.Timestamp(days.first)).dt.days
    frame = alerts.assign(subject_id="", open_day=open_day, end_day=open_day + WEEK.days)
    types = {"opened_on": pa.date32(), "open_day": pa.int64(), "end_day": pa.int64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in EPISODE_COLUMNS])
    return pa.Table.from_pandas(frame[EPISODE_COLUMNS], schema=schema, preserve_index=False)


def _scores(source: ClientSource, first: date, last: date) -> pd.DataFrame:
    """Scores of the Sundays from first to last, as score_alerts needs them: for a client whose churn_risk reaches back
    beyond `first`, with the Sundays since before its beginning."""
    figures = source.figures(DayRange(first - WEEK, last).sundays())
    scores = client_success_scores(figures, source.policy)
    goes_back = scores[(scores["metric_date"] == pd.Timestamp(first)) & is_churn_risk(scores)]
    reach = longest_churn_run(source.policy)
    if goes_back.empty or reach < 2:
        return scores
    clients = ibis.memtable(goes_back[CLIENT])
    earlier = source.figures(DayRange(first - reach * WEEK, first - 2 * WEEK).sundays(), clients)
    return client_success_scores(pd.concat([earlier, figures], ignore_index=True), source.policy)


def _batches(result: ClientDays, table: Table) -> Iterator[pa.Table]:
    """The table's rows in batches, each validated before it is handed to the writer, and counted by day."""
    rows = result.rows[table]
    counts = result.rows_per_day.setdefault(table.name, dict.fromkeys(result.days, 0))
    per_day = max(1, int(rows.count().execute()) // len(result.days))
    for piece in result.days.chunks(max(1, ROWS_PER_BATCH // per_day)):
        frame = as_frame(table, rows.filter(rows.metric_date.between(piece.first, piece.last)).to_pyarrow())
        for day, of_day in validated(table, frame).groupby(frame["metric_date"].dt.date):
            counts[day] += len(of_day)
            if table is tables.CLIENT_MOMENTUM_ALERTS:
                result.alerts_per_day[day] = Counter(zip(of_day["alert_type"], of_day["severity"], strict=True))
        yield as_arrow(table, frame)


def _record_snapshots(writer: Writer, context: RunContext, days: DayRange) -> None:
    """That the alerts of these days were computed, also where nothing is open."""
    table = tables.ALERT_SNAPSHOTS
    frame = pd.DataFrame({"metric_date": pd.to_datetime(list(days)), "computed_at": context.clock})
    writer.replace(table, days, [as_arrow(table, as_frame(table, frame))])
