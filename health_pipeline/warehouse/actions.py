"""What people do with results: alerts acknowledged, insights read, mails opened. No run ever touches these tables.

Each function is one statement's worth of work in the caller's transaction, and raises UserError with what to do instead.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import sqlalchemy as sa

from health_pipeline.errors import UserError
from health_pipeline.tables.client_success import INSIGHT_ACTION_KINDS

REACTIONS = ("opened", "clicked")

_ACKNOWLEDGE = sa.text("""
INSERT INTO health.alert_actions
    (alert_key, tenant_id, client_id, alert_type, subject_id, opened_on, acknowledged_by, acknowledged_at, note)
SELECT alert_key, tenant_id, client_id, alert_type, subject_id, opened_on, :by, :at, :note
FROM health.momentum_alerts
WHERE alert_key = :key AND opened_on = :day
ON CONFLICT (alert_key) DO NOTHING
RETURNING alert_key
""")
_ACKNOWLEDGED = sa.text("SELECT acknowledged_by, acknowledged_at FROM health.alert_actions WHERE alert_key = :key")
_MARK = sa.text("""
INSERT INTO health.insight_actions
    (insight_key, action, metric_date, tenant_id, client_id, rule_id, acted_by, acted_at)
SELECT insight_key, :action, metric_date, tenant_id, client_id, rule_id, :by, :at
FROM health.insight_status
WHERE insight_key = :key AND metric_date = :day
ON CONFLICT (insight_key, action) DO NOTHING
RETURNING insight_key
""")
_MARKED = sa.text("SELECT acted_by, acted_at FROM health.insight_actions WHERE insight_key = :key AND action = :action")
_REACTION = sa.text("""
UPDATE health.email_deliveries
SET opened_at = coalesce(opened_at, :at), clicked_at = coalesce(clicked_at, CASE WHEN :reaction = 'clicked' THEN :at END)
WHERE message_id = :message_id
""").bindparams(sa.bindparam("at", type_=sa.DateTime(timezone=True)))


def acknowledge_alert(connection: sa.Connection, key: str, by: str, note: str | None) -> None:
    """Note that somebody has seen an alert, once per episode. key: alert_key of momentum_alerts.

    Raises UserError for a key that no alert has, an alert that is acknowledged already, or a `by` that names nobody.
    """
    values = {"key": key, "day": _day_of_key(key), "by": _name(by), "at": datetime.now(UTC), "note": note or None}
    if connection.scalar(_ACKNOWLEDGE, values) is None:
        _refuse(
            connection.execute(_ACKNOWLEDGED, {"key": key}).one_or_none(),
            f"alert {key}",
            "acknowledged",
            "momentum_alerts",
        )


def mark_insight(connection: sa.Connection, key: str, action: str, by: str) -> None:
    """Note what somebody did with an insight: read, dismissed or acted_on, each once. key: insight_key of insight_status.

    Raises UserError for an unknown action, a key that no insight has, an action noted already, or a `by` that names nobody.
    """
    if action not in INSIGHT_ACTION_KINDS:
        raise UserError(f"an insight can be marked as {', '.join(INSIGHT_ACTION_KINDS)}, but not as {action!r}")
    values = {"key": key, "day": _day_of_key(key), "action": action, "by": _name(by), "at": datetime.now(UTC)}
    if connection.scalar(_MARK, values) is None:
        found = connection.execute(_MARKED, {"key": key, "action": action}).one_or_none()
        _refuse(found, f"insight {key}", f"marked as {action}", "insight_status")


def record_reaction(connection: sa.Connection, message_id: str, reaction: str, at: datetime) -> None:
    """Note that a mail was opened or clicked (which opens it), the first time of each, as a mail service reports it.

    Raises UserError for an unknown reaction or a Message-ID that no delivery has.
    """
    if reaction not in REACTIONS:
        raise UserError(f"a mail can be {' or '.join(REACTIONS)}, but not {reaction!r}")
    values = {"message_id": message_id, "reaction": reaction, "at": at}
    if connection.execute(_REACTION, values).rowcount == 0:
        raise UserError(f"no mail with the Message-ID {message_id} was sent; email_deliveries lists them")


def _name(by: str) -> str:
    if not by.strip():
        raise UserError("say who does it: the name must not be blank")
    return by.strip()


def _day_of_key(key: str) -> str | None:
    """The day that a key begins with, which narrows the search to few rows; None where the text can be no key."""
    try:
        return date.fromisoformat(key[:10]).isoformat()
    except ValueError:
        return None


def _refuse(found: sa.Row[tuple[str, datetime]] | None, what: str, done: str, view: str) -> None:
    """Say why nothing was written: it had been done before (`found`: by whom and when), or there is no such thing."""
    if found is not None:
        raise UserError(f"{what} was {done} already, by {found[0]} on {found[1].astimezone(UTC):%Y-%m-%d %H:%M} UTC")
    raise UserError(f"there is no {what}; the view {view} shows the keys")
