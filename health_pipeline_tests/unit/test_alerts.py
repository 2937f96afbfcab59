"""What people are told: when a tenant has turned HIGH, what is one event, and words in which nothing can be hidden."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from health_pipeline.alerts.events import (
    Event,
    FailedRun,
    HighTenant,
    batches,
    failed_run,
    first_day_told,
    first_words,
    high_risk,
    high_since,
    is_recent,
    notice_of,
    stopped_source,
)
from health_pipeline.alerts.webhook import slack_text
from health_pipeline.days import Calendar, DayRange
from health_pipeline.settings import read_settings

DAY = date(2024, 3, 10)
UI = "https://dagster.example.com"
AT = datetime(2024, 3, 9, 2, 3, 59, tzinfo=UTC)


def test_a_failed_run_in_words() -> None:
    run = FailedRun(
        "r1", "r2", "nightly", DayRange(date(2024, 3, 5), date(2024, 3, 8)), AT, "the source can't be reached"
    )
    event = failed_run(run, UI)
    assert event.text == (
        "nightly failed for 2024-03-05 to 2024-03-08 at 2024-03-09 02:03 UTC: the source can't be reached"
    )
    assert (event.key, event.kind, event.since) == ("failed_run:r1", "failed_run", AT)
    assert event.link == "https://dagster.example.com/runs/r2"


def test_a_failed_run_of_one_day_and_of_none() -> None:
    one = FailedRun("r", "r", "nightly", DayRange(DAY, DAY), AT, None)
    assert failed_run(one, UI).text == "nightly failed for 2024-03-10 at 2024-03-09 02:03 UTC"
    none = FailedRun("r", "r", "deliver_emails", None, AT, None)
    assert failed_run(none, UI).text == "deliver_emails failed at 2024-03-09 02:03 UTC"


def test_a_stopped_source_in_words() -> None:
    berlin = AT.astimezone(Calendar("Europe/Berlin").start(DAY).tzinfo)
    event = stopped_source("events", AT, UI)
    assert event.text == "The source table events has stopped: its newest fact is of 2024-03-09 02:03 UTC"
    assert event.link == "https://dagster.example.com/assets/source/events"
    # The same instant is the same event; a later fact means that it had resumed.
    assert stopped_source("events", berlin, UI).key == event.key
    assert stopped_source("events", AT + timedelta(seconds=1), UI).key != event.key
    assert stopped_source("users", AT, UI).key != event.key


def tenant(name: str = "Acme", change: int | None = -12) -> HighTenant:
    return HighTenant("t1", name, DAY, DAY - timedelta(days=2), 35, change)


def test_a_tenant_that_turned_high_in_words() -> None:
    event = high_risk(tenant(), None, Calendar("Europe/Berlin"), UI)
    assert event.text == "Acme (t1) has been at HIGH risk since 2024-03-08; its score of 2024-03-10 is 35 (-12)"
    assert event.key == "high_risk:t1:2024-03-08"
    assert event.since == datetime(2024, 3, 7, 23, tzinfo=UTC)
    assert event.tenant_id == "t1"
    assert event.link.endswith("/assets/tenant_health_scores?view=partitions&partition=2024-03-10")
    assert high_risk(tenant(change=None), None, Calendar(), UI).text.endswith("is 35")
    assert high_risk(tenant(change=3), None, Calendar(), UI).text.endswith("is 35 (+3)")
    # One that was begun under another day stays the event that it was.
    assert high_risk(tenant(), "high_risk:t1:2024-03-07", Calendar(), UI).key == "high_risk:t1:2024-03-07"


Histories = st.dictionaries(
    st.integers(0, 12).map(lambda n: DAY - timedelta(days=n)), st.sampled_from(["HIGH", "MEDIUM", "LOW"]), max_size=13
)


@settings(max_examples=500, deadline=None)
@given(Histories, st.randoms())
def test_since_when_a_tenant_is_high(history: dict[date, str], order: object) -> None:
    """Restated: the one day from which on all are HIGH, and before which there is a day that isn't."""
    days = sorted(history)
    begins = [
        after
        for before, after in pairwise(days)
        if history[before] != "HIGH" and all(history[day] == "HIGH" for day in days if day >= after)
    ]
    assert len(begins) <= 1
    shuffled = list(history.items())
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert high_since(shuffled) == (begins[0] if begins else None)


@pytest.mark.parametrize(
    ("risks", "back"),
    [("H", None), ("HHH", None), ("LH", 0), ("LHH", 1), ("HLH", 0), ("MHHH", 2), ("L", None), ("HL", None), ("", None)],
)
def test_streaks(risks: str, back: int | None) -> None:
    names = {"H": "HIGH", "M": "MEDIUM", "L": "LOW"}
    days = [(DAY - timedelta(days=n), names[risk]) for n, risk in enumerate(reversed(risks))]
    assert high_since(days) == (None if back is None else DAY - timedelta(days=back))


@pytest.mark.parametrize(
    ("looked_at", "restate_days", "days_back"),
    [
        (None, 3, 3),
        (None, 0, 3),
        (None, 10, 10),
        (DAY, 3, 3),
        (DAY - timedelta(days=1), 3, 3),
        (DAY - timedelta(days=8), 3, 7),
        (DAY - timedelta(days=8), 10, 10),
        (DAY - timedelta(days=400), 3, 31),
        (DAY - timedelta(days=400), 60, 60),
        (DAY + timedelta(days=5), 3, 3),
    ],
)
def test_from_which_day_on_a_turn_is_told(looked_at: date | None, restate_days: int, days_back: int) -> None:
    assert first_day_told(DAY, looked_at, restate_days) == DAY - timedelta(days=days_back)


def test_history_is_no_news() -> None:
    assert [is_recent(DAY - timedelta(days=n), DAY) for n in range(4)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("the source can't be reached (HEALTH_SOURCE_URL): timed out", None),
        ("12 of 100 rows are bad; the first: ann@example.com", "12 of 100 rows are bad"),
        ("email: not_null: 3 rows, such as ['bob', 'eve']", "email: not_null: 3 rows,"),
        ("no client <ann.lee@example.com> at 'bob@b.example', sorry", "no client <(address)> at '(address)', sorry"),
        ("one\nline\x1b[31m only", "one line[31m only"),
        ("x" * 500, "x" * 159 + "…"),
    ],
)
def test_the_first_words_of_an_error(said: str, told: str | None) -> None:
    assert first_words(said) == (said if told is None else told)


def event(n: int, kind: str = "high_risk") -> Event:
    return Event(f"{kind}:{n}", kind, AT, f"text {n}", f"{UI}/{n}")


def test_many_events_at_once_are_one_message() -> None:
    few, many = [event(n) for n in range(5)], [event(n) for n in range(6)]
    assert list(batches(few)) == [(each,) for each in few]
    assert list(batches(many)) == [tuple(many)]
    runs = [event(n, "failed_run") for n in range(6)]
    assert sorted(map(len, batches([*few, *runs]))) == [1, 1, 1, 1, 1, 6]


def test_a_long_list_is_cut_and_counted() -> None:
    notice = notice_of([event(n) for n in range(312)], UI)
    assert notice.headline == "312 tenants turned HIGH"
    assert notice.lines == (*(f"text {n}" for n in range(20)), "and 292 more")
    assert notice.link == f"{UI}/assets/tenant_health_scores"
    exact = notice_of([event(n) for n in range(20)], UI)
    assert len(exact.lines) == 20
    single = notice_of([event(1)], UI)
    assert (single.headline, single.lines, single.link) == ("A tenant turned HIGH", ("text 1",), f"{UI}/1")


def test_a_message_is_known_by_its_events() -> None:
    one, other = notice_of([event(1), event(2)], UI), notice_of([event(2), event(1)], UI)
    assert one.identity == other.identity != notice_of([event(1)], UI).identity


def test_nothing_in_a_name_means_anything_to_slack() -> None:
    named = high_risk(tenant("<!channel> & <https://evil.example|click>\n*A run failed*"), None, Calendar(), UI)
    lines = slack_text(notice_of([named], UI)).split("\n")
    assert len(lines) == 3
    assert lines[0] == "*A tenant turned HIGH*"
    assert lines[1].startswith("&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt; *A run failed* (t1) has")
    assert lines[2] == f"{UI}/assets/tenant_health_scores?view=partitions&amp;partition=2024-03-10"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=120))
def test_a_name_stays_on_its_line_and_is_escaped(name: str) -> None:
    notice = notice_of([high_risk(tenant(name), None, Calendar(), UI)], UI)
    text = slack_text(notice)
    assert len(text.split("\n")) == 3
    assert len(text.splitlines()) == 3
    assert not {"<", ">"} & set(text)
    unescaped = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert unescaped == "\n".join([f"*{notice.headline}*", *notice.lines, notice.link])
    # And it can be sent.
    json.dumps({"text": text}).encode()


def test_settings() -> None:
    alerts = read_settings(
        {"HEALTH_ALERT_WEBHOOK": "https://h.example/s", "HEALTH_ALERT_MAIL": "a@b.example, c@d.example"}
    ).alerts
    assert (alerts.webhook, alerts.mail_to) == ("https://h.example/s", ("a@b.example", "c@d.example"))
