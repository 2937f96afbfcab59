"""Delivering what people are told, over a real webhook and a real mail server: once per event, whatever happens."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from health_pipeline.alerts import deliver, webhook
from health_pipeline.alerts.deliver import Channel, Told, tell, untold
from health_pipeline.alerts.events import Event
from health_pipeline.alerts.mail import MailChannel
from health_pipeline.alerts.webhook import WebhookChannel
from health_pipeline.settings import MailSettings
from health_pipeline.warehouse.connection import committing_connection
from health_pipeline_tests.support.databases import execute, query
from health_pipeline_tests.support.mail_server import HANG_UP, MailServer, running_mail_server
from health_pipeline_tests.support.web_server import Hook, WebServer, hang_up, reply, running_web_server

AT = datetime(2024, 3, 9, 2, 3, tzinfo=UTC)
UI = "http://ui.example"
ADDRESSES = ("ops@acme.example", "ann@acme.example")
SENDER = "Health <health@acme.example>"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running_web_server() as server:
        yield server


@pytest.fixture
def mail() -> Iterator[tuple[MailServer, MailChannel]]:
    with running_mail_server() as (handler, url):
        yield handler, MailChannel(MailSettings(url, SENDER, None, Path("unused")), ADDRESSES)


def event(n: int = 1, kind: str = "failed_run") -> Event:
    return Event(f"{kind}:{n}", kind, AT, f"text {n}", f"{UI}/runs/{n}")


def told(url: str, channels: Sequence[Channel], *events: Event) -> Told:
    with committing_connection(url) as connection:
        return tell(connection, channels, events, UI)


def post(url: str, web: WebServer, *events: Event) -> Told:
    return told(url, [WebhookChannel(web.url())], *(events or [event()]))


def rows(url: str) -> list[dict[str, Any]]:
    return query(url, "SELECT * FROM health.notifications ORDER BY event_key, channel")


def say_hello(hook: Hook) -> None:
    hook.wfile.write(b"hello\r\n\r\n")


def wait_is_over(url: str) -> None:
    """Let every refused notification be due again."""
    execute(url, "UPDATE health.notifications SET reserved_at = reserved_at - interval '65 minutes'")


def test_an_event_is_told_once_over_each_channel(
    warehouse: str, web: WebServer, mail: tuple[MailServer, MailChannel]
) -> None:
    handler, mail_channel = mail
    channels = [WebhookChannel(web.url()), mail_channel]
    assert told(warehouse, channels, event()).messages == {("webhook", "sent"): 1, ("mail", "sent"): 1}
    assert told(warehouse, channels, event()).messages == {}
    assert web.received == [{"text": "*A run failed*\ntext 1\nhttp://ui.example/runs/1"}]
    path, headers = web.requests[0]
    assert (path, headers["Content-Type"]) == ("/services/T0/B0/s3cret", "application/json")
    (message,) = handler.received
    assert [str(address) for address in message["To"].addresses] == list(ADDRESSES)
    assert (message["From"], message["Subject"]) == (SENDER, "A run failed")
    assert message.get_content().splitlines() == ["text 1", "", "http://ui.example/runs/1"]
    for row in rows(warehouse):
        assert (row["event_key"], row["kind"], row["message"], row["since"]) == ("failed_run:1", *RECORDED)
        assert (row["status"], row["attempts"], row["error"], row["tenant_id"]) == ("sent", 1, None, None)
        assert row["reserved_at"] <= row["sent_at"]


RECORDED = ("failed_run", "text 1", AT)


@pytest.mark.parametrize("status", [500, 503, 429, 404, 400, 301, 307])
def test_what_is_refused_is_tried_again_after_a_wait(status: int, warehouse: str, web: WebServer) -> None:
    web.answer = lambda hook: reply(hook, status, Location=web.url("/elsewhere"))
    assert post(warehouse, web).messages == {("webhook", "refused"): 1}
    assert post(warehouse, web).messages == {}
    (row,) = rows(warehouse)
    assert (row["status"], row["attempts"], row["sent_at"]) == ("refused", 1, None)
    assert row["error"].startswith(str(status))
    assert "s3cret" not in row["error"]
    web.answer = lambda hook: reply(hook, 200)
    wait_is_over(warehouse)
    assert post(warehouse, web).messages == {("webhook", "sent"): 1}
    (row,) = rows(warehouse)
    assert (row["status"], row["attempts"], row["error"]) == ("sent", 2, None)
    assert len(web.received) == 2
    assert not [path for path, _ in web.requests if "elsewhere" in path]


def test_the_wait_grows(warehouse: str, web: WebServer) -> None:
    web.answer = lambda hook: reply(hook, 500)
    channels = [WebhookChannel(web.url())]
    for minutes in (1, 2, 4, 8, 16, 32, 64, 64):
        post(warehouse, web)
        with committing_connection(warehouse) as connection:
            for passed, is_due in ((minutes * 60 - 5, set()), (10, {"failed_run:1"})):
                connection.exec_driver_sql(
                    f"UPDATE health.notifications SET reserved_at = reserved_at - interval '{passed} seconds'"
                )
                assert untold(connection, channels, ["failed_run:1"]) == is_due
    assert rows(warehouse)[0]["attempts"] == 8


@pytest.mark.parametrize("case", ["hangs", "hangs up", "gateway", "found", "drips", "no HTTP"])
def test_without_a_clear_answer_nothing_is_sent_again(
    case: str, warehouse: str, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(deliver, "_SECONDS_TO_SEND", 1.0)
    web.answer = {
        "hangs": web.hang,
        "hangs up": hang_up,
        "gateway": lambda hook: reply(hook, 504),
        "found": lambda hook: reply(hook, 302, Location=web.url("/elsewhere")),
        "drips": web.drip,
        "no HTTP": say_hello,
    }[case]
    started = datetime.now(UTC)
    assert post(warehouse, web).messages == {("webhook", "unknown"): 1}
    assert (datetime.now(UTC) - started).total_seconds() < 5
    (row,) = rows(warehouse)
    assert (row["status"], row["sent_at"]) == ("reserved", None)
    assert row["error"]
    assert "s3cret" not in row["error"]
    web.released.set()
    web.answer = lambda hook: reply(hook, 200)
    wait_is_over(warehouse)
    assert post(warehouse, web).messages == {}
    assert len(web.received) == 1
    assert not [path for path, _ in web.requests if "elsewhere" in path]


@pytest.mark.parametrize("path", ["/a b/s3cret", "/s3cret\r\nX-Evil: 1", "/ü/s3cret"])
def test_a_url_that_can_not_be_posted_to(path: str, warehouse: str, web: WebServer) -> None:
    channel = WebhookChannel(web.url(path))
    assert told(warehouse, [channel], event()).failures == [
        "webhook: HEALTH_ALERT_WEBHOOK is no URL that can be posted to"
    ]
    assert web.received == []
    assert rows(warehouse)[0]["status"] == "refused"


def test_nobody_listens(warehouse: str, web: WebServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = told(warehouse, [WebhookChannel(f"http://127.0.0.1:{port}/s3cret")], event())
    assert found.failures == ["webhook: the webhook can't be reached: Connection refused"]
    # TLS where there is none.
    found = told(warehouse, [WebhookChannel(f"https://127.0.0.1:{web.port}/s3cret")], event(2))
    assert found.messages == {("webhook", "refused"): 1}
    assert {row["status"] for row in rows(warehouse)} == {"refused"}
    assert "s3cret" not in str(rows(warehouse))


def test_through_a_proxy(warehouse: str, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", web.url(""))
    found = told(warehouse, [WebhookChannel("http://hooks.example/s3cret")], event())
    assert found.messages == {("webhook", "sent"): 1}
    assert web.requests[0][0] == "http://hooks.example/s3cret"


def test_a_channel_that_fails_is_left_alone_and_the_other_tells_all(
    warehouse: str, web: WebServer, mail: tuple[MailServer, MailChannel]
) -> None:
    handler, mail_channel = mail
    web.answer = hang_up
    channels = [WebhookChannel(web.url()), mail_channel]
    found = told(warehouse, channels, event(1), event(2), event(3))
    assert found.messages == {("webhook", "unknown"): 1, ("mail", "sent"): 3}
    assert found.is_unfinished
    assert len(web.received) == 1
    web.answer = lambda hook: reply(hook, 200)
    found = told(warehouse, channels, event(1), event(2), event(3))
    assert found.messages == {("webhook", "sent"): 2}
    assert not found.is_unfinished
    assert [text.split("\n")[1] for text in web.texts] == ["text 1", "text 2", "text 3"]
    assert len(handler.received) == 3


def test_many_at_once_are_one_message_and_each_is_recorded(warehouse: str, web: WebServer) -> None:
    events = [event(n, "high_risk") for n in range(1000)]
    assert post(warehouse, web, *events).messages == {("webhook", "sent"): 1}
    (text,) = web.texts
    assert text.split("\n")[0] == "*1000 tenants turned HIGH*"
    assert len(text.split("\n")) == 1 + 20 + 1 + 1
    assert [row["status"] for row in rows(warehouse)] == ["sent"] * 1000
    assert post(warehouse, web, *events, event(1000, "high_risk")).messages == {("webhook", "sent"): 1}
    assert web.texts[1].split("\n")[:2] == ["*A tenant turned HIGH*", "text 1000"]


def test_a_look_sends_no_more_than_it_has_time_for(
    warehouse: str, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [event(n, kind) for kind in ("failed_run", "high_risk", "stopped_source") for n in range(5)]
    found = post(warehouse, web, *events)
    assert (found.messages, found.is_unfinished) == ({("webhook", "sent"): 10}, True)
    monkeypatch.setattr(deliver, "_SECONDS_TO_BEGIN", -1.0)
    found = post(warehouse, web, *events)
    assert (found.messages, found.is_unfinished) == ({}, True)
    monkeypatch.undo()
    found = post(warehouse, web, *events)
    assert (found.messages, found.is_unfinished) == ({("webhook", "sent"): 5}, False)
    assert len(set(web.texts)) == 15


def test_two_that_look_at_the_same_time(warehouse: str, web: WebServer) -> None:
    events = [event(n) for n in range(5)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: post(warehouse, web, *events), range(4)))
    assert sum(each.messages["webhook", "sent"] for each in found) == 5
    assert len(web.texts) == len(set(web.texts)) == 5


_TELLING = """
import sys
from datetime import UTC, datetime
from health_pipeline.alerts.deliver import tell
from health_pipeline.alerts.events import Event
from health_pipeline.alerts.webhook import WebhookChannel
from health_pipeline.warehouse.connection import committing_connection
events = [Event(f"failed_run:{n}", "failed_run", datetime.now(UTC), f"text {n}", "http://ui.example") for n in range(3)]
with committing_connection(sys.argv[1]) as connection:
    tell(connection, [WebhookChannel(sys.argv[2])], events, "http://ui.example")
"""


def test_a_sender_that_is_killed_between_sending_and_confirming(warehouse: str, web: WebServer) -> None:
    process: subprocess.Popen[bytes] | None = None

    def kill_at_the_second(hook: Hook) -> None:
        if len(web.received) == 2 and process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        else:
            reply(hook, 200)

    web.answer = kill_at_the_second
    process = subprocess.Popen([sys.executable, "-c", _TELLING, warehouse, web.url()])
    assert process.wait(30) == -signal.SIGKILL
    assert [row["status"] for row in rows(warehouse)] == ["sent", "reserved"]
    web.answer = lambda hook: reply(hook, 200)
    wait_is_over(warehouse)
    assert post(warehouse, web, *(event(n) for n in range(3))).messages == {("webhook", "sent"): 1}
    assert [row["status"] for row in rows(warehouse)] == ["sent", "reserved", "sent"]
    assert [text.split("\n")[1] for text in web.texts] == ["text 0", "text 1", "text 2"]


def test_mail_that_one_address_refuses(warehouse: str, mail: tuple[MailServer, MailChannel]) -> None:
    handler, channel = mail
    handler.answer = lambda command, address: (
        "550 <ann@acme.example> who?" if (command, address[:3]) == RCPT_ANN else None
    )
    assert told(warehouse, [channel], event()).messages == {("mail", "sent"): 1}
    assert len(handler.received) == 1
    (row,) = rows(warehouse)
    assert (row["status"], row["error"]) == ("sent", "refused for 1 of 2 addresses: 550 <(address)> who?")


RCPT_ANN = ("RCPT", "ann")


def test_mail_that_is_refused_and_mail_that_breaks(warehouse: str, mail: tuple[MailServer, MailChannel]) -> None:
    handler, channel = mail
    handler.answer = lambda command, address: f"550 no {address}" if command == "RCPT" else None
    assert told(warehouse, [channel], event()).failures == ["mail: 550 no (address)"]
    handler.answer = lambda command, _: HANG_UP if command == "DATA" else None
    assert told(warehouse, [channel], event(2)).messages == {("mail", "unknown"): 1}
    handler.answer = lambda *_: None
    wait_is_over(warehouse)
    assert told(warehouse, [channel], event(1), event(2)).messages == {("mail", "sent"): 1}
    assert [(row["status"], row["attempts"]) for row in rows(warehouse)] == [("sent", 2), ("reserved", 1)]
    assert len(handler.received) == 1


@pytest.mark.parametrize(
    ("smtp_url", "sender", "address", "words"),
    [
        ("smtp://127.0.0.1:1", SENDER, "a@b.example", "HEALTH_SMTP_URL): [Errno 111] Connection refused"),
        ("http://u:s3cret@x", SENDER, "a@b.example", "HEALTH_SMTP_URL must be"),
        ("smtp://127.0.0.1", None, "a@b.example", "HEALTH_MAIL_FROM must be set"),
        ("smtp://127.0.0.1", SENDER, "nobody", "HEALTH_ALERT_MAIL must be addresses"),
    ],
)
def test_mail_settings_that_can_not_be_used_do_not_stop_the_webhook(
    smtp_url: str, sender: str | None, address: str, words: str, warehouse: str, web: WebServer
) -> None:
    channel = MailChannel(MailSettings(smtp_url, sender, None, Path("unused")), [address])
    found = told(warehouse, [channel, WebhookChannel(web.url())], event())
    assert found.messages == {("mail", "refused"): 1, ("webhook", "sent"): 1}
    assert words in found.failures[0]
    assert "s3cret" not in str(rows(warehouse))


def test_mail_into_a_folder(warehouse: str, tmp_path: Path) -> None:
    channel = MailChannel(MailSettings(None, None, None, tmp_path), ADDRESSES)
    assert told(warehouse, [channel], event()).messages == {("mail", "sent"): 1}
    (file,) = tmp_path.iterdir()
    message = message_from_bytes(file.read_bytes(), policy=default)
    assert (message["Subject"], str(message["To"])) == ("A run failed", ", ".join(ADDRESSES))
    assert "text 1" in message.get_content()
