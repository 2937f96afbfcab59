"""What a demo's last screen says: who is at risk, what drives them down, and where to go on."""

from __future__ import annotations

import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from health_pipeline.plain_text import one_line

SHOWN_TENANTS = 10
_LONGEST_TEXT = 60
_COMPONENTS = {
    "login_score": "logins",
    "case_resolution_score": "cases on time",
    "campaign_completion_score": "campaigns",
    "feature_adoption_score": "features",
    "support_ticket_score": "tickets",
}
_BUYERS = """
SELECT coalesce(risk_status, 'PROSPECT'), count(*) FROM health.customer_order_health
WHERE metric_date = (SELECT max(metric_date) FROM health.customer_order_health) GROUP BY 1
ORDER BY array_position(
    ARRAY['DORMANT', 'AT_RISK_CADENCE', 'AT_RISK_REVENUE', 'HEALTHY', 'PROSPECT'], coalesce(risk_status, 'PROSPECT'))
"""
_ALERTS = """
SELECT severity, count(*) FROM health.client_momentum_alerts
WHERE metric_date = (SELECT max(metric_date) FROM health.client_momentum_alerts) GROUP BY 1 ORDER BY 1
"""
_COLORS = {"HIGH": "red", "MEDIUM": "yellow", "LOW": "green"}


def show_summary(console: Console, connection: sa.Connection) -> None:
    """The tenants most at risk, the counts per risk level, what was set apart, and the next commands."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM health.latest_tenant_health JOIN health.policies USING (policy_version)"
            " WHERE overall_score IS NOT NULL"
            " ORDER BY array_position(ARRAY['HIGH', 'MEDIUM', 'LOW'], risk_level), overall_score, tenant_id LIMIT :shown"
        ),
        {"shown": SHOWN_TENANTS},
    ).all()
    day = rows[0].metric_date if rows else "no day"
    table = Table(title=f"Tenants most at risk on {day}", title_justify="left")
    for heading in ("tenant", "sector", "score", "change", "risk", "what drives it down (points lost)"):
        table.add_column(heading, justify="right" if heading in ("score", "change") else "left")
    for row in rows:
        color = _COLORS[row.risk_level]
        change = "" if row.score_change is None else f"{row.score_change:+d}"
        table.add_row(
            escape(one_line(row.name, _LONGEST_TEXT)),
            escape(one_line(row.industry_sector or "", _LONGEST_TEXT)),
            str(row.overall_score),
            change,
            f"[{color}]{row.risk_level}[/]",
            _drivers(row),
        )
    console.print(table)
    console.print(_counts(connection), highlight=False)
    console.print(f"Buyers: {_tally(connection, _BUYERS)}", highlight=False)
    console.print(f"Open alerts: {_tally(connection, _ALERTS)}   (health.open_alerts)", highlight=False)
    console.print("\nNext:  [bold]make up[/]                          the Dagster UI, with the nightly schedule")
    console.print("       [bold].venv/bin/health-pipeline psql[/]   the tables, with SQL", highlight=False)


def _drivers(row: sa.Row[tuple[object, ...]]) -> str:
    """The two components that cost the score most, with the points that each costs it."""
    values = row._mapping
    measured = {name: values[f"{name}_weight"] for name in _COMPONENTS if values[name] is not None}
    lost = {
        name: float(weight * (100 - values[name]) / sum(measured.values()))
        for name, weight in measured.items()
        if weight
    }
    worst = sorted((name for name in lost if lost[name] > 0), key=lambda name: -lost[name])[:2]
    return ", ".join(f"{_COMPONENTS[name]} -{lost[name]:.0f}" for name in worst)


def _tally(connection: sa.Connection, query: str) -> str:
    """Names and counts in one line."""
    return "   ".join(f"{name} {count:,}" for name, count in connection.execute(sa.text(query)).tuples()) or "none"


def _counts(connection: sa.Connection) -> str:
    levels = connection.execute(
        sa.text("SELECT risk_level, count(*) FROM health.latest_tenant_health GROUP BY 1")
    ).tuples()
    counts = dict(levels.all())
    risk = "   ".join(f"[{color}]{level}[/] {counts.get(level, 0)}" for level, color in _COLORS.items())
    bad = connection.scalar(sa.text("SELECT count(*) FROM health.quarantined_rows"))
    return f"Risk: {risk}      Source rows set apart as bad: {bad} (health.quarantined_rows)"
