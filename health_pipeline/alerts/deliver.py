"""Telling of each event at most once over each channel, whatever happens in between.

A notification is reserved, sent and confirmed; the reservation is committed before anything is sent. A process that is killed
in between, or an answer that doesn't come, leaves it reserved: its outcome is unknown, and it is never sent again. What was
certainly not taken is refused: tried again at a later look, for as long as it is still so, after a wait that doubles.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import sqlalchemy as sa

from health_pipeline.alerts.events import Event, Notice, batches, notice_of
from health_pipeline.emails.transport import OutcomeUnknown, Refused

# A look has a minute (Dagster's limit on a sensor). The last send may begin after 15 seconds, and take 20.
_MOST_SENDS = 10
_SECONDS_TO_BEGIN = 15.0
_SECONDS_TO_SEND = 20.0
# 1, 2, 4 … 64 minutes after the first, second, third … try.
_IS_DUE = """known.status = 'refused'
    AND known.reserved_at + interval '1 minute' * power(2, least(known.attempts, 7) - 1) <= :at"""
_SETTLED = sa.text(f"""
SELECT event_key FROM health.notifications AS known
WHERE event_key = ANY(CAST(:keys AS text[])) AND channel = :channel AND NOT ({_IS_DUE})
""")
# The conflict clause lets exactly one process have an event, and no process have it twice.
_RESERVE = sa.text(f"""
INSERT INTO health.notifications AS known
    (event_key, channel, kind, tenant_id, since, message, status, attempts, reserved_at)
SELECT event_key, :channel, :kind, tenant_id, since, message, 'reserved', 1, :at
FROM unnest(CAST(:keys AS text[]), CAST(:tenants AS text[]), CAST(:since AS timestamptz[]), CAST(:texts AS text[]))
    AS event (event_key, tenant_id, since, message)
ON CONFLICT (event_key, channel) DO UPDATE
SET status = 'reserved', attempts = known.attempts + 1, reserved_at = excluded.reserved_at,
    since = excluded.since, message = excluded.message, error = NULL
WHERE {_IS_DUE}
RETURNING event_key
""")
_SETTLE = sa.text("""
UPDATE health.notifications SET status = :status, sent_at = :sent_at, error = :error
WHERE event_key = ANY(CAST(:keys AS text[])) AND channel = :channel
""")


class Channel(Protocol):
    """A way to tell people."""

    @property
    def name(self) -> str: ...

    def send(self, notice: Notice) -> str | None:
        """Returns when the message was taken, with a remark where not by everybody. Raises Refused or OutcomeUnknown."""


@dataclass
class Told:
    """What a look did: messages by channel and outcome, the words of failures, and whether events are left for the next."""

    messages: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    is_unfinished: bool = False

    def __str__(self) -> str:
        counts = ", ".join(f"{channel} {outcome}: {n}" for (channel, outcome), n in sorted(self.messages.items()))
        left = "; the rest follows" if self.is_unfinished else ""
        return "; ".join([counts or "nothing to tell", *self.failures]) + left


def untold(connection: sa.Connection, channels: Iterable[Channel], keys: Sequence[str]) -> set[str]:
    """Of these keys of events, those that some channel has yet to tell of, or is to try again by now."""
    return set().union(*(_due(connection, channel, keys, datetime.now(UTC)) for channel in channels))


def tell(connection: sa.Connection, channels: Iterable[Channel], events: Sequence[Event], ui_url: str) -> Told:
    """Tell of the events that are due. A channel that fails is left alone until the next look.

    connection: one that commits each statement at once and durably.
    """
    told, started = Told(), time.monotonic()
    for channel in channels:
        due = _due(connection, channel, [event.key for event in events], datetime.now(UTC))
        messages = list(batches([event for event in events if event.key in due]))
        told.is_unfinished |= len(messages) > _MOST_SENDS
        for batch in messages[:_MOST_SENDS]:
            if time.monotonic() - started > _SECONDS_TO_BEGIN:
                told.is_unfinished = True
                return told
            if not _tell_one(connection, channel, batch, ui_url, told):
                told.is_unfinished |= batch is not messages[-1]
                break
    return told


def _due(connection: sa.Connection, channel: Channel, keys: Sequence[str], at: datetime) -> set[str]:
    if not keys:
        return set()
    values = {"keys": list(keys), "channel": channel.name, "at": at}
    return set(keys).difference(connection.scalars(_SETTLED, values))


def _tell_one(connection: sa.Connection, channel: Channel, batch: Sequence[Event], ui_url: str, told: Told) -> bool:
    """Reserve, send, confirm one message; whether the channel works."""
    reserved = _reserved(connection, channel, batch)
    if not reserved:
        return True
    values = {"keys": [event.key for event in reserved], "channel": channel.name}
    try:
        remark = _within_time(channel, notice_of(reserved, ui_url))
    except (Refused, OutcomeUnknown) as error:
        outcome = "refused" if isinstance(error, Refused) else "reserved"
        connection.execute(_SETTLE, {**values, "status": outcome, "sent_at": None, "error": str(error)})
        told.messages[channel.name, "refused" if outcome == "refused" else "unknown"] += 1
        told.failures.append(f"{channel.name}: {error}")
        return False
    connection.execute(_SETTLE, {**values, "status": "sent", "sent_at": datetime.now(UTC), "error": remark})
    told.messages[channel.name, "sent"] += 1
    return True


def _reserved(connection: sa.Connection, channel: Channel, batch: Sequence[Event]) -> list[Event]:
    """Those events of the batch that are reserved for this process; others are another one's."""
    ordered = sorted(batch, key=lambda event: event.key)
    values = {
        "channel": channel.name,
        "kind": batch[0].kind,
        "at": datetime.now(UTC),
        "keys": [event.key for event in ordered],
        "tenants": [event.tenant_id for event in ordered],
        "since": [event.since for event in ordered],
        "texts": [event.text for event in ordered],
    }
    taken = set(connection.scalars(_RESERVE, values))
    return [event for event in batch if event.key in taken]


def _within_time(channel: Channel, notice: Notice) -> str | None:
    """Send in a thread of its own: a name server or a connection that drips can take longer than any time-out says."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(channel.send, notice).result(timeout=_SECONDS_TO_SEND)
    except TimeoutError:
        raise OutcomeUnknown(f"no answer within {_SECONDS_TO_SEND:.0f} seconds") from None
    finally:
        pool.shutdown(wait=False)
