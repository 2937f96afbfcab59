"""Client success by Sunday: scores, insights and the outbox of weekly mails. Read once, compute, write in one transaction.

Rule: client-success.md. A range gives exactly the rows of its Sundays run one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa

from health_pipeline.days import DAY, DayRange
from health_pipeline.emails.letter import Person, weekly_letter
from health_pipeline.errors import SettingError
from health_pipeline.policy.model import ClientSuccessPolicy
from health_pipeline.scoring.client_success import KEYS, WEEK, client_success_scores
from health_pipeline.scoring.insights import client_insights, insight_row
from health_pipeline.sources.reader import SourceReader
from health_pipeline.systems.client_source import ClientFacts, ClientSource, read_clients, unknown_event_types
from health_pipeline.systems.common import tenant_named, writing_system
from health_pipeline.systems.context import RunContext
from health_pipeline.tables import client_success as tables
from health_pipeline.tables.declare import Table
from health_pipeline.tables.frames import as_arrow, as_frame, validated

_CLIENTS_PER_BATCH = 10_000  # a mail is some 15 kB
Record = dict[str, Any]


@dataclass(frozen=True)
class ClientWeeks:
    """The computed Sundays. clients: a row per Sunday and client, with its figures, scores, names and address.

    rows_per_week: rows written by table and Sunday. counts_per_week: by Sunday, clients by band, then insights by type.
    """

    sundays: list[date]
    clients: pd.DataFrame
    policy: ClientSuccessPolicy
    facts: ClientFacts
    rows_per_week: dict[str, dict[date, int]] = field(default_factory=dict)
    counts_per_week: dict[date, Counter[str]] = field(default_factory=dict)


def run_client_weeks(
    context: RunContext, weeks: DayRange, names: frozenset[str], tenant: str | None = None
) -> ClientWeeks:
    """Compute the Sundays of the range and replace them in the named weekly tables, all in one transaction.

    tenant: an id or slug; only its rows are replaced then. Raises UserError for anything a user has to mend; then nothing
    was written but records of bad rows.
    """
    chosen = [table for table in tables.WEEKLY_TABLES if table.name in names]
    if not weeks.sundays():
        raise SettingError(
            f"there is no Sunday from {weeks.first} to {weeks.last}, and weekly tables have only Sundays"
        )
    with context.reading() as reader:
        tenant_id = None if tenant is None else tenant_named(reader, tenant)
        result = compute_client_weeks(reader, context, weeks.sundays(), tenant_id)
        with writing_system(context, "client_weeks", chosen, weeks, result.facts, tenant_id) as writer:
            for table in chosen:
                writer.replace(table, weeks, _batches(result, table), tenant_id)
        return result


def compute_client_weeks(
    reader: SourceReader, context: RunContext, weeks: list[date], tenant_id: str | None = None
) -> ClientWeeks:
    """The Sundays, a week apart, of one tenant or of all, from one snapshot of the source.

    Raises TooManyBadRows before anything is computed.
    """
    days = DayRange(weeks[0] - WEEK, weeks[-1] - DAY)  # the Sundays' weeks
    source = read_clients(reader, context, days, tenant_id, with_history=True)
    figures = source.figures([weeks[0] - WEEK, *weeks])
    scores = client_success_scores(figures, source.policy)
    both = figures.merge(scores, on=KEYS, validate="one_to_one")
    both = both[both["metric_date"] >= pd.Timestamp(weeks[0])]
    facts = ClientFacts.of(reader, unknown_event_types=unknown_event_types(source, days))
    return ClientWeeks(weeks, _with_names(both, source), source.policy, facts)


def _with_names(clients: pd.DataFrame, source: ClientSource) -> pd.DataFrame:
    users, tenants = source.users, source.tenants
    people = users.select("tenant_id", "name", "email", "insights_opt_in", client_id=users.user_id).to_pandas()
    names = tenants.select("tenant_id", tenant_name=tenants.name).to_pandas()
    named = clients.merge(people, on=["tenant_id", "client_id"], how="left", validate="many_to_one")
    named = named.merge(names, on="tenant_id", how="left", validate="many_to_one")
    return named.sort_values(["metric_date", "client_id"], ignore_index=True)


def _batches(result: ClientWeeks, table: Table) -> Iterator[pa.Table]:
    """The table's rows in batches, each validated before it is handed to the writer, and counted by Sunday."""
    counts = result.rows_per_week.setdefault(table.name, dict.fromkeys(result.sundays, 0))
    for start in range(0, len(result.clients), _CLIENTS_PER_BATCH):
        rows = result.clients[start : start + _CLIENTS_PER_BATCH]
        if table is not tables.CLIENT_SUCCESS_SCORES:
            rows = _ROWS[table](rows, result.policy)
        frame = validated(table, as_frame(table, rows))
        for day, of_day in frame.groupby(frame["metric_date"].dt.date):
            counts[day] += len(of_day)
            kind = {tables.CLIENT_SUCCESS_SCORES: "band", tables.CLIENT_INSIGHTS: "insight_type"}.get(table)
            if kind is not None:
                result.counts_per_week.setdefault(day, Counter()).update(of_day[kind])
        yield as_arrow(table, frame)


def _insight_rows(clients: pd.DataFrame, policy: ClientSuccessPolicy) -> pd.DataFrame:
    rows = (
        insight_row(client, insight, policy.insights)
        for client in _records(clients)
        for insight in client_insights(client, policy.insights)
    )
    return pd.DataFrame(rows, columns=tables.CLIENT_INSIGHTS.column_names)


def _email_rows(clients: pd.DataFrame, policy: ClientSuccessPolicy) -> pd.DataFrame:
    wanting = clients[clients["insights_opt_in"].fillna(False).astype(bool) & clients["email"].notna()]
    rows = (_email_row(client, policy) for client in _records(wanting) if client["email"].strip())
    return pd.DataFrame(rows, columns=tables.CLIENT_SUCCESS_EMAILS.column_names)


def _email_row(client: Record, policy: ClientSuccessPolicy) -> Record:
    person = Person(client["name"], client["tenant_name"])
    insights = list(client_insights(client, policy.insights))
    letter = weekly_letter(client, client, insights, person, policy.weekly_mail)
    return {
        **{name: client[name] for name in (*KEYS, "email")},
        "subject": letter.subject,
        "html": letter.html,
        "plain_text": letter.plain_text,
    }


_ROWS: dict[Table, Callable[[pd.DataFrame, ClientSuccessPolicy], pd.DataFrame]] = {
    tables.CLIENT_INSIGHTS: _insight_rows,
    tables.CLIENT_SUCCESS_EMAILS: _email_rows,
}


def _records(clients: pd.DataFrame) -> list[Record]:
    """The rows as plain values: nulls None, metric_date a date."""
    plain = clients.astype(object).where(clients.notna(), None)
    plain["metric_date"] = clients["metric_date"].dt.date
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]
