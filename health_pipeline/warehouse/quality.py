"""Questions to the warehouse whose answer should be "none": what the asset checks ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

import sqlalchemy as sa

from health_pipeline.days import DayRange
from health_pipeline.tables.catalogue import SCHEMA

HIGH_RISK_JUMP_POINTS = 10


@dataclass(frozen=True)
class Finding:
    """How many problems there are, in words and figures. Counts only."""

    problems: int
    description: str
    figures: dict[str, int | float] = field(default_factory=dict)


def newest_day(connection: sa.Connection, table: str) -> date | None:
    """The newest metric_date of a table, None where it is empty."""
    newest: date | None = connection.scalar(sa.text(f"SELECT max(metric_date) FROM {SCHEMA}.{table}"))
    return newest


def missing_tenants(table: str) -> Callable[[sa.Connection, DayRange], Finding]:
    """A question: which tenants at D have no row in the table, or a row too many."""

    def query(connection: sa.Connection, days: DayRange) -> Finding:
        row = connection.execute(
            sa.text(
                f"""
                SELECT count(*) FILTER (WHERE found.tenant_id IS NULL) AS missing,
                       count(*) FILTER (WHERE profile.tenant_id IS NULL) AS strangers
                FROM (SELECT metric_date, tenant_id FROM {SCHEMA}.tenant_profiles
                      WHERE metric_date BETWEEN :first AND :last) AS profile
                FULL JOIN (SELECT DISTINCT metric_date, tenant_id FROM {SCHEMA}.{table}
                           WHERE metric_date BETWEEN :first AND :last) AS found USING (metric_date, tenant_id)
                """
            ),
            {"first": days.first, "last": days.last},
        ).one()
        return Finding(
            row.missing + row.strangers,
            f"{row.missing} tenant days lack a row in {table}; {row.strangers} rows are of no tenant at that day",
        )

    query.__doc__ = f"Every tenant active at the end of the day has its rows in {table}, and nobody else has."
    return query


def rows_other_than(connection: sa.Connection, days: DayRange, expected: Mapping[date, int]) -> Finding:
    """How many days have another number of tenants in the warehouse than expected."""
    rows = connection.execute(
        sa.text(
            f"SELECT metric_date, count(*) AS tenants FROM {SCHEMA}.tenant_profiles"
            " WHERE metric_date BETWEEN :first AND :last GROUP BY 1"
        ),
        {"first": days.first, "last": days.last},
    ).all()
    found = {row.metric_date: row.tenants for row in rows}
    wrong = [day for day in days if found.get(day, 0) != expected[day]]
    figures: dict[str, int | float] = {"rows": sum(found.values()), "tenants_at_d": sum(expected.values())}
    return Finding(len(wrong), f"{len(wrong)} of {len(days)} days have other rows than tenants at D", figures)


def scores_not_adding_up(connection: sa.Connection, days: DayRange) -> Finding:
    """overall_score is the rounded sum of what its components contribute, and the risk level follows from it."""
    problems = connection.scalar(
        sa.text(
            f"""
            SELECT count(*) FROM {SCHEMA}.health_score_drivers
            WHERE metric_date BETWEEN :first AND :last AND overall_score <> floor(round(unrounded_score, 9) + 0.5)
            """
        ),
        {"first": days.first, "last": days.last},
    )
    return Finding(int(problems or 0), f"{problems} scores are not the sum of their drivers")


def jumps_in_high_risk(connection: sa.Connection, days: DayRange) -> Finding:
    """The share of tenants at HIGH risk doesn't jump by more than 10 points from one day to the next."""
    rows = connection.execute(
        sa.text(
            f"""
            SELECT metric_date, 100.0 * count(*) FILTER (WHERE risk_level = 'HIGH') / count(*) AS share
            FROM {SCHEMA}.tenant_health_scores WHERE metric_date BETWEEN CAST(:first AS date) - 1 AND :last
            GROUP BY metric_date ORDER BY metric_date
            """
        ),
        {"first": days.first, "last": days.last},
    ).all()
    steps = [
        abs(float(after.share - before.share))
        for before, after in pairwise(rows)
        if (after.metric_date - before.metric_date).days == 1
    ]
    jumps = [step for step in steps if step > HIGH_RISK_JUMP_POINTS]
    return Finding(
        len(jumps),
        f"{len(jumps)} days changed the share of HIGH by more than 10 points",
        {"largest_change": max(steps, default=0.0)},
    )
