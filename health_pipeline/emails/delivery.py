"""Delivering the outbox of the newest week, each mail at most once. Rule: client-success.md, `client_success_emails`.

A mail is reserved, sent and confirmed; the reservation is committed before anything is sent. A process that dies in between
leaves it reserved: its outcome is unknown, which is shown, and it is never sent again. A mail that was certainly not taken is
failed (for good) or deferred (for now: the next delivery of the same week tries it again).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

import sqlalchemy as sa

from health_pipeline.days import Calendar, sunday_of
from health_pipeline.emails.message import OutgoingMail, Sender, as_message, mail_address, message_id, sender_of
from health_pipeline.emails.transport import MailServerError, OutcomeUnknown, Refused, Transport, transport_of
from health_pipeline.settings import MailSettings
from health_pipeline.warehouse.connection import committing_connection

_WAITING = sa.text("""
SELECT outbox.client_id
FROM health.client_success_emails AS outbox
LEFT JOIN health.email_deliveries AS delivery USING (metric_date, client_id)
WHERE outbox.metric_date = :week AND (delivery.status IS NULL OR delivery.status = 'deferred')
ORDER BY outbox.client_id
""")
# The conflict clause lets exactly one process have the mail, and no process have it twice.
_RESERVE = sa.text("""
WITH letter AS (
    SELECT * FROM health.client_success_emails WHERE metric_date = :week AND client_id = :client_id
),
reservation AS (
    INSERT INTO health.email_deliveries AS delivery
        (metric_date, tenant_id, client_id, email, message_id, status, reserved_at)
    SELECT metric_date, tenant_id, client_id, email, :message_id, 'reserved', :at FROM letter
    ON CONFLICT (metric_date, client_id) DO UPDATE
    SET status = 'reserved', reserved_at = excluded.reserved_at, email = excluded.email,
        message_id = excluded.message_id, error = NULL
    WHERE delivery.status = 'deferred'
    RETURNING client_id
)
SELECT letter.email, letter.subject, letter.html, letter.plain_text FROM letter JOIN reservation USING (client_id)
""")
_SETTLE = sa.text("""
UPDATE health.email_deliveries SET status = :status, sent_at = :sent_at, error = :error
WHERE metric_date = :week AND client_id = :client_id
""")
_COUNTS = sa.text("SELECT status, count(*) FROM health.email_deliveries WHERE metric_date = :week GROUP BY status")


@dataclass(frozen=True)
class Delivery:
    """What a delivery did, and how the week stands after it.

    sent_now: mails that this delivery sent. statuses: all mails of the week by status; `reserved` has an unknown outcome
    (or is under way in another process). waiting: not begun, or deferred.
    """

    week: date
    sent_now: int
    statuses: dict[str, int]
    waiting: int


def newest_week(calendar: Calendar, clock: datetime) -> date:
    """The newest Sunday that has begun: the only week of which mails are sent."""
    return sunday_of(calendar.day_of(clock))


def deliver_emails(
    warehouse_url: str,
    mail: MailSettings,
    calendar: Calendar,
    clock: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> Delivery:
    """Send what is waiting of the newest week; progress hears how many are done, of how many.

    Raises SettingError for settings that can't be used, MailServerError if the server can't be reached: what was sent
    before that stays recorded, and the rest is still waiting.
    """
    week = newest_week(calendar, clock)
    sender, transport = sender_of(mail), transport_of(mail)
    sent = 0
    with committing_connection(warehouse_url) as connection:
        waiting = connection.scalars(_WAITING, {"week": week}).all()
        try:
            for done, client_id in enumerate(waiting, start=1):
                sent += _deliver_one(connection, transport, sender, week, client_id)
                if progress is not None:
                    progress(done, len(waiting))
        finally:
            transport.close()
        statuses = dict(connection.execute(_COUNTS, {"week": week}).tuples().all())
        left = len(connection.scalars(_WAITING, {"week": week}).all())
    return Delivery(week, sent, statuses, left)


def _deliver_one(connection: sa.Connection, transport: Transport, sender: Sender, week: date, client_id: str) -> bool:
    """Reserve, send, confirm; whether it was sent."""
    transport.open()
    mail = _reserved(connection, sender, week, client_id)
    if mail is None:
        return False
    if mail.recipient == "":
        _settle(connection, week, client_id, "failed", "the email is no address that a mail can be sent to")
        return False
    try:
        transport.send(as_message(mail, sender, datetime.now(UTC)), sender.address, [mail.recipient])
    except Refused as error:
        _settle(connection, week, client_id, "failed" if error.for_good else "deferred", str(error))
        return False
    except OutcomeUnknown:
        return False
    except MailServerError as error:
        _settle(connection, week, client_id, "deferred", str(error))
        raise
    _settle(connection, week, client_id, "sent", None)
    return True


def _reserved(connection: sa.Connection, sender: Sender, week: date, client_id: str) -> OutgoingMail | None:
    """The mail, reserved for this process; None if another one has it, or a new run has taken it out of the outbox."""
    identity = message_id(week, client_id, sender)
    values = {"week": week, "client_id": client_id, "message_id": identity, "at": datetime.now(UTC)}
    row = connection.execute(_RESERVE, values).one_or_none()
    if row is None:
        return None
    return OutgoingMail(identity, client_id, mail_address(row.email) or "", row.subject, row.html, row.plain_text)


def _settle(connection: sa.Connection, week: date, client_id: str, status: str, error: str | None) -> None:
    sent_at = datetime.now(UTC) if status == "sent" else None
    values = {"week": week, "client_id": client_id, "status": status, "sent_at": sent_at, "error": error}
    connection.execute(_SETTLE, values)
