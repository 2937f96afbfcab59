"""Delivering the outbox: to a real mail server and into a folder, at most once whatever happens to the sender."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any, cast

import pytest

from health_pipeline.days import Calendar
from health_pipeline.emails.delivery import Delivery, deliver_emails
from health_pipeline.emails.transport import MailServerError
from health_pipeline.errors import UserError, WarehouseError
from health_pipeline.settings import MailSettings
from health_pipeline.warehouse.actions import record_reaction
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline_tests.support.databases import execute, insert, query, value
from health_pipeline_tests.support.mail_server import HANG_UP, MailServer, running_mail_server

WEEK = date(2024, 3, 3)
CLOCK = datetime(2024, 3, 5, tzinfo=UTC)
SENDER = "Acme News <news@acme.example>"


@pytest.fixture
def mail_server() -> Iterator[tuple[MailServer, MailSettings]]:
    """A running mail server, and the settings to send by it."""
    with running_mail_server() as (handler, url):
        yield handler, MailSettings(url, SENDER, None, Path("unused"))


def fill(url: str, count: int, week: date = WEEK, **values: Any) -> None:
    """Rows of the outbox for clients c0, c1, …"""
    rows = [
        {
            "metric_date": week,
            "tenant_id": "t",
            "client_id": f"c{n}",
            "email": f"c{n}@example.com",
            "subject": "Your week",
            "html": f"<p>{n} Grüße</p>",
            "plain_text": f"{n} Grüße",
            **values,
        }
        for n in range(count)
    ]
    insert(url, "client_success_emails", rows)


def deliver(url: str, mail: MailSettings, clock: datetime = CLOCK) -> Delivery:
    return deliver_emails(url, mail, Calendar("UTC"), clock)


def statuses(url: str) -> dict[str, str]:
    return {
        row["client_id"]: row["status"] for row in query(url, "SELECT client_id, status FROM health.email_deliveries")
    }


Server = tuple[MailServer, MailSettings]


def test_each_mail_is_sent_once(warehouse: str, mail_server: Server) -> None:
    handler, mail = mail_server
    fill(warehouse, 5)
    assert deliver(warehouse, mail) == Delivery(WEEK, 5, {"sent": 5}, 0)
    assert handler.copies == {f"c{n}@example.com": 1 for n in range(5)}
    plain, html = (part.get_content().strip() for part in handler.received[0].iter_parts())
    assert (plain, html) == ("0 Grüße", "<p>0 Grüße</p>")
    assert handler.received[0]["List-Unsubscribe"] == "<mailto:news@acme.example?subject=unsubscribe>"
    # Nor when the week is computed again, with other words.
    execute(warehouse, "DELETE FROM health.client_success_emails")
    fill(warehouse, 6, subject="Your week, again")
    assert deliver(warehouse, mail) == Delivery(WEEK, 1, {"sent": 6}, 0)
    assert set(handler.copies.values()) == {1}
    row = query(warehouse, "SELECT * FROM health.email_deliveries WHERE client_id = 'c0'")[0]
    assert row["message_id"] == handler.received[0]["Message-ID"]
    assert row["reserved_at"] <= row["sent_at"]
    assert row["error"] is None


def test_a_past_week_is_never_sent(warehouse: str, mail_server: Server) -> None:
    handler, mail = mail_server
    fill(warehouse, 2, week=date(2024, 2, 25))
    fill(warehouse, 1)
    assert deliver(warehouse, mail).sent_now == 1
    assert deliver(warehouse, mail, datetime(2024, 3, 10, tzinfo=UTC)) == Delivery(date(2024, 3, 10), 0, {}, 0)
    assert len(handler.received) == 1


@pytest.mark.parametrize(
    ("command", "reply", "status"),
    [
        ("MAIL", "550 no such sender", "failed"),
        ("RCPT", "550 nobody here", "failed"),
        ("RCPT", "450 greylisted", "deferred"),
        ("DATA", "554 spam", "failed"),
        ("DATA", "451 busy", "deferred"),
        ("RCPT", "421 shutting down", "deferred"),
    ],
)
def test_a_refused_mail(command: str, reply: str, status: str, warehouse: str, mail_server: Server) -> None:
    handler, mail = mail_server
    fill(warehouse, 3)
    refusals = iter([None, reply, None])
    handler.answer = lambda asked, _: next(refusals) if asked == command else None
    found = deliver(warehouse, mail)
    assert statuses(warehouse) == {"c0": "sent", "c1": status, "c2": "sent"}
    assert found == Delivery(WEEK, 2, {"sent": 2, status: 1}, int(status == "deferred"))
    assert value(warehouse, "SELECT error FROM health.email_deliveries WHERE error IS NOT NULL") == reply
    # What was refused for now is tried again, what was refused for good is not.
    handler.answer = lambda *_: None
    deliver(warehouse, mail)
    assert statuses(warehouse)["c1"] == ("sent" if status == "deferred" else "failed")
    assert set(handler.copies.values()) == {1}


def test_addresses_that_can_not_be_sent_to_fail_alone(warehouse: str, mail_server: Server) -> None:
    handler, mail = mail_server
    addresses = ["a@example.com\r\nBcc: all@example.com", "nobody", "grüße@example.com", " b@bücher.example "]
    fill(warehouse, len(addresses))
    for n, address in enumerate(addresses):
        with sql_connection(warehouse) as connection:
            connection.exec_driver_sql(
                "UPDATE health.client_success_emails SET email = %s WHERE client_id = %s", (address, f"c{n}")
            )
    deliver(warehouse, mail)
    assert statuses(warehouse) == {"c0": "failed", "c1": "failed", "c2": "sent", "c3": "sent"}
    assert [str(message["To"].addresses[0].addr_spec) for message in handler.received] == [
        "grüße@example.com",
        "b@xn--bcher-kva.example",
    ]


def test_a_connection_that_the_server_closes_before_a_mail_is_opened_again(warehouse: str, mail_server: Server) -> None:
    handler, mail = mail_server
    fill(warehouse, 3)
    replies = iter([None, HANG_UP, None, HANG_UP, HANG_UP])
    handler.answer = lambda asked, _: next(replies, None) if asked == "MAIL" else None
    deliver(warehouse, mail)
    # Closed once, the next try succeeds; closed again, the mail waits for the next delivery.
    assert statuses(warehouse) == {"c0": "sent", "c1": "sent", "c2": "deferred"}
    assert deliver(warehouse, mail).statuses == {"sent": 3}
    assert set(handler.copies.values()) == {1}


def test_a_connection_that_breaks_in_a_mail_leaves_its_outcome_unknown(warehouse: str, mail_server: Server) -> None:
    handler, mail = mail_server
    fill(warehouse, 3)
    replies = iter([None, HANG_UP, None])
    handler.answer = lambda asked, _: next(replies, None) if asked == "DATA" else None
    assert deliver(warehouse, mail) == Delivery(WEEK, 2, {"sent": 2, "reserved": 1}, 0)
    assert deliver(warehouse, mail) == Delivery(WEEK, 0, {"sent": 2, "reserved": 1}, 0)
    assert statuses(warehouse)["c1"] == "reserved"


def test_without_a_mail_server_nothing_is_begun(warehouse: str) -> None:
    fill(warehouse, 2)
    with pytest.raises(MailServerError, match="HEALTH_SMTP_URL"):
        deliver(warehouse, MailSettings("smtp://127.0.0.1:1", SENDER, None, Path("unused")))
    assert statuses(warehouse) == {}


def test_a_password_is_not_sent_in_the_clear(warehouse: str, mail_server: Server) -> None:
    _, mail = mail_server
    fill(warehouse, 1)
    url = cast(str, mail.smtp_url).replace("smtp://", "smtp://ann:secret@")
    with pytest.raises(MailServerError, match="no TLS") as refused:
        deliver(warehouse, MailSettings(url, SENDER, None, mail.folder))
    assert "secret" not in str(refused.value)


def test_without_a_warehouse(mail_server: Server) -> None:
    with pytest.raises(WarehouseError, match="HEALTH_WAREHOUSE_URL"):
        deliver("postgresql://127.0.0.1:1/x?connect_timeout=1", mail_server[1])


def test_into_a_folder(warehouse: str, tmp_path: Path) -> None:
    mail = MailSettings(None, None, None, tmp_path / "mail")
    fill(warehouse, 2)
    insert(
        warehouse,
        "client_success_emails",
        [{**query(warehouse, "SELECT * FROM health.client_success_emails")[0], "client_id": "../../evil"}],
    )
    assert deliver(warehouse, mail).sent_now == 3
    assert deliver(warehouse, mail).sent_now == 0
    files = sorted(mail.folder.iterdir())
    assert len(files) == 3
    assert {file.suffix for file in files} == {".eml"}
    message = message_from_bytes(files[0].read_bytes(), policy=default)
    assert message["From"] == "client-success@localhost"
    assert list(tmp_path.iterdir()) == [mail.folder]


def test_what_becomes_of_a_mail_is_recorded(warehouse: str, mail_server: Server) -> None:
    _, mail = mail_server
    fill(warehouse, 1)
    deliver(warehouse, mail)
    identity = value(warehouse, "SELECT message_id FROM health.email_deliveries")
    moments = [datetime(2024, 3, 5, hour, tzinfo=UTC) for hour in (1, 2, 3)]
    with sql_connection(warehouse) as connection:
        for reaction, moment in zip(("opened", "clicked", "opened"), moments, strict=True):
            record_reaction(connection, identity, reaction, moment)
        with pytest.raises(UserError, match="opened or clicked"):
            record_reaction(connection, identity, "burnt", CLOCK)
        with pytest.raises(UserError, match="no mail with the Message-ID <x>"):
            record_reaction(connection, "<x>", "opened", CLOCK)
    row = query(warehouse, "SELECT opened_at, clicked_at FROM health.email_deliveries")[0]
    assert (row["opened_at"], row["clicked_at"]) == (moments[0], moments[1])


_SENDING = """
import sys
from datetime import datetime
from pathlib import Path
from health_pipeline.days import Calendar
from health_pipeline.emails.delivery import deliver_emails
from health_pipeline.settings import MailSettings
mail = MailSettings(sys.argv[2], sys.argv[3], None, Path("unused"))
deliver_emails(sys.argv[1], mail, Calendar("UTC"), datetime.fromisoformat(sys.argv[4]))
"""


def sending(url: str, mail: MailSettings) -> subprocess.Popen[bytes]:
    """A process of its own that delivers."""
    arguments = [url, cast(str, mail.smtp_url), SENDER, CLOCK.isoformat()]
    return subprocess.Popen([sys.executable, "-c", _SENDING, *arguments])


@pytest.mark.parametrize("moment", ["MAIL", "TAKEN"])
def test_a_sender_that_is_killed_between_reserving_and_confirming(
    moment: str, warehouse: str, mail_server: Server
) -> None:
    """Before the mail was sent, and after the server had taken it: it can't be told, so it isn't sent again."""
    handler, mail = mail_server
    fill(warehouse, 4)
    process: subprocess.Popen[bytes] | None = None

    def kill(command: str, address: str) -> str | None:
        third = command == moment and (command != "MAIL" or len(handler.received) == 2)
        if third and (command == "MAIL" or address == "c2@example.com") and process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        return None

    handler.answer = kill
    process = sending(warehouse, mail)
    assert process.wait(30) == -signal.SIGKILL
    assert statuses(warehouse) == {"c0": "sent", "c1": "sent", "c2": "reserved"}
    assert handler.copies["c2@example.com"] == (0 if moment == "MAIL" else 1)
    handler.answer = lambda *_: None
    assert deliver(warehouse, mail) == Delivery(WEEK, 1, {"sent": 3, "reserved": 1}, 0)
    assert handler.copies["c2@example.com"] == (0 if moment == "MAIL" else 1)
    assert set(handler.copies.values()) <= {0, 1}


def test_senders_killed_at_random_and_at_the_same_time(warehouse: str, mail_server: Server) -> None:
    handler, mail = mail_server
    count, rng = 100, random.Random(3)
    fill(warehouse, count)
    for _ in range(2):
        processes = [sending(warehouse, mail) for _ in range(2)]
        already = len(handler.received)
        deadline = time.monotonic() + 20
        while len(handler.received) < already + 5 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.random() * 0.1)
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
    found = deliver(warehouse, mail)
    by_client = statuses(warehouse)
    assert max(handler.copies.values()) == 1
    assert len(by_client) == count
    assert found.waiting == 0
    unknown = [client for client, status in by_client.items() if status == "reserved"]
    assert len(unknown) <= 4  # one per killed process at most
    sent = [client for client, status in by_client.items() if status == "sent"]
    assert set(sent) | set(unknown) == {f"c{n}" for n in range(count)}
    assert {f"{client}@example.com" for client in sent} <= handler.copies.keys()
