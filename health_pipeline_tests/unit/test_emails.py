"""The weekly mail: what it shows, that nothing from the source is ever markup or a header, and where it is sent."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from email import message_from_bytes, message_from_string
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from health_pipeline.days import Calendar
from health_pipeline.emails.delivery import newest_week
from health_pipeline.emails.letter import Letter, Person, shown_name, weekly_letter
from health_pipeline.emails.message import OutgoingMail, as_message, mail_address, message_id, sender_of
from health_pipeline.emails.transport import FolderTransport, SmtpTransport, transport_of
from health_pipeline.errors import SettingError
from health_pipeline.policy.load import load_policy
from health_pipeline.scoring.insights import client_insights
from health_pipeline.settings import MailSettings, read_settings

POLICY = load_policy(None).client_success
SUNDAY = date(2024, 3, 3)
FIGURES: dict[str, Any] = {
    "metric_date": SUNDAY,
    "tenant_id": "t",
    "client_id": "c",
    "last_event_days": 1,
    "created_days": 40,
    "active_days": 1,
    "events": 1234,
    "high_value_events": 2,
    "week_tasks_completed": 1,
    "total_tasks_completed": 100,
    "week_content": 2,
    "total_content": 10,
    "week_visuals": 1,
    "total_visuals": 50,
    "onboarding_tasks": 5,
    "onboarding_completed": 3,
    "onboarding_skipped": 0,
}
SCORES: dict[str, Any] = {
    "engagement_score": 72,
    "activation_score": 100,
    "progress_score": 40,
    "satisfaction_score": None,
    "momentum_score": 0,
    "overall_score": 64,
    "band": "GOOD",
    "previous_score": 57,
}
HOSTILE = (
    "<script>alert(1)</script>",
    "</td></table><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp; Söhne 漢字 🚀",
    "Ann\r\nBcc: everyone@example.com",
    "\u202eevil\u2066 \x00\x07\x1b[31m",
    "--boundary\n\n.\n",
    "x" * 500,
)


class Page(HTMLParser):
    """The tags with their attributes, and the text, of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def letter(name: str | None = "Ann", tenant: str = "Acme", **changes: Any) -> Letter:
    figures = {**FIGURES, **{key: value for key, value in changes.items() if key in FIGURES}}
    scores = {**SCORES, **{key: value for key, value in changes.items() if key in SCORES}}
    insights = list(client_insights(figures, POLICY.insights))
    return weekly_letter(figures, scores, insights, Person(name, tenant), POLICY.weekly_mail)


# Between them, they have every rule fire.
WEEKS: tuple[dict[str, Any], ...] = (
    {},
    {"events": 0, "week_content": 0, "week_visuals": 0, "week_tasks_completed": 0, "last_event_days": 20},
    {"events": 0, "week_content": 0, "week_visuals": 0, "week_tasks_completed": 0, "last_event_days": None},
    {f"{span}_{name}": 100 for span in ("week", "total") for name in ("tasks_completed", "content", "visuals")},
)


def test_the_mail_says_the_score_its_parts_the_week_and_the_insights() -> None:
    mail = letter()
    page = Page(mail.html)
    words = " ".join(page.text.split())
    assert mail.subject == "Your week: 64 of 100 points"
    for said in (
        *("Hi Ann, here is your week", "Acme · 25 February 2024 to 2 March 2024", "64 of 100", "Good"),
        *("Up 7 points since last week", "Engagement 72", "Getting started 100", "Progress 40", "Momentum 0"),
        *("Satisfaction not measured yet", "1 active day", "1,234 actions", "2 results", "1 task completed"),
        *("2 pieces of content", "1 visual", "Almost there: 2 onboarding tasks to go", "Open your workspace"),
    ):
        assert said in words
    for insight in client_insights(FIGURES, POLICY.insights):
        assert insight.title in words
        assert insight.body in words


def test_the_plain_text_says_the_same() -> None:
    text = letter().plain_text
    words = " ".join(text.split())
    for said in (
        *("Hi Ann,", "at Acme, 25 February 2024 to 2 March 2024", "YOUR SCORE: 64 of 100 (Good)", "Up 7 points"),
        *("Engagement 72 #######...", "Getting started 100 ##########", "Satisfaction not measured yet", "Momentum 0"),
        *("1,234 actions", "1 task completed", "* Almost there: 2 onboarding tasks to go", "https://app.example.com/"),
    ):
        assert said in words
    assert "<" not in text
    assert "&" not in text


def test_mail_programs_accept_it() -> None:
    """Tables and inlined styles alone: no style sheet, script, picture or form, one link, and small enough not to be cut."""
    html = letter(**WEEKS[3]).html
    page = Page(html)
    used = {tag for tag, _ in page.tags}
    assert used <= {"html", "head", "meta", "title", "body", "div", "table", "tr", "td", "span", "a"}
    assert page.links == [POLICY.weekly_mail.link]
    assert 'name="viewport"' in html
    assert "max-width:600px" in html
    assert len(html.encode()) < 102_000
    assert all("role" in names for tag, names in page.tags if tag == "table")


def test_the_five_bars_are_as_long_as_the_scores() -> None:
    html = letter().html
    filled = re.findall(r'<td width="(\d+)%" height="8"', html)
    assert filled == ["72", "100", "40"]  # nothing measured and 0 have none
    assert html.count("background-color:#dde3ec") == 5


@pytest.mark.parametrize(
    ("previous", "said"),
    [
        (None, "Your first weekly score"),
        (64, "The same as last week"),
        (63, "Up 1 point since last week"),
        (66, "Down 2 points since last week"),
    ],
)
def test_the_change(previous: int | None, said: str) -> None:
    assert said in letter(previous_score=previous).html


@pytest.mark.parametrize("band", ["EXCELLENT", "GOOD", "NEEDS_ATTENTION", "AT_RISK"])
def test_every_band_has_friendly_words(band: str) -> None:
    words = Page(letter(band=band).html).text
    assert "risk" not in words.lower()
    assert band not in words


@pytest.mark.parametrize("week", WEEKS)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_every_rule_with_hostile_names_stays_text(hostile: str, week: dict[str, Any]) -> None:
    tame, wild = letter(**week), letter(hostile, hostile, **week)
    tame_page, wild_page = Page(tame.html), Page(wild.html)
    assert wild_page.tags == tame_page.tags
    assert wild_page.links == tame_page.links
    shown = shown_name(hostile)
    assert f"Hi {shown}, here is your week" in wild_page.text
    assert f"Your week at {shown}" in wild_page.text
    assert f"Hi {shown},\n" in wild.plain_text
    assert wild.plain_text.count("\n") == tame.plain_text.count("\n")
    assert wild.subject == tame.subject


def test_the_weeks_have_every_rule_fire() -> None:
    rules = {insight.rule_id for week in WEEKS for insight in client_insights({**FIGURES, **week}, POLICY.insights)}
    milestones = {f"milestone_{kind}_{n}" for kind in ("task", "content", "visual") for n in (10, 50, 100)}
    assert rules == {
        *("weekly_summary", "achievement_created", "inactive_7_days", "onboarding_nearly_done"),
        *milestones,
    }


names = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(HOSTILE)


@settings(max_examples=100, deadline=None)
@given(names, names)
def test_no_name_changes_the_markup(name: str, tenant: str) -> None:
    page = Page(letter(name, tenant).html)
    assert page.tags == Page(letter().html).tags
    assert f"Hi {shown_name(name) or 'there'}, here is your week" in page.text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (None, ""),
        (" \t\n\u3000 ", ""),
        ("  Ann\r\n  Lee ", "Ann Lee"),
        ("a\u202eb\u2066c\x00d", "abcd"),
        ("👩\u200d🚀", "👩\u200d🚀"),  # a joined picture stays one
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
    ],
)
def test_names_are_shown_on_one_line(name: str | None, shown: str) -> None:
    assert shown_name(name) == shown


def test_without_names() -> None:
    page = Page(letter(None, " ").html)
    assert "Hi there, here is your week" in page.text
    assert "Your week at your team" in page.text


SMTP = MailSettings("smtp://mail.example.com", "Acme News <news@acme.example>", None, Path("mail"))


def message_bytes(client_id: str = "c1", recipient: str = "ann@example.com", mail: MailSettings = SMTP) -> bytes:
    content = letter("Jürgen 漢字", "Acme")
    sender = sender_of(mail)
    outgoing = OutgoingMail(
        message_id(SUNDAY, client_id, sender), client_id, recipient, content.subject, content.html, content.plain_text
    )
    return as_message(outgoing, sender, datetime(2024, 3, 3, 6, tzinfo=UTC)).as_bytes()


def test_the_message() -> None:
    raw = message_bytes()
    message = message_from_bytes(raw, policy=default)
    assert message["From"] == "Acme News <news@acme.example>"
    assert message["To"] == "ann@example.com"
    assert message["List-Unsubscribe"] == "<mailto:news@acme.example?subject=unsubscribe>"
    assert message["List-Unsubscribe-Post"] is None
    assert message["Message-ID"] == message_id(SUNDAY, "c1", sender_of(SMTP))
    assert message["Date"] == "Sun, 03 Mar 2024 06:00:00 +0000"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    content = letter("Jürgen 漢字", "Acme")
    plain, html = (part.get_content().replace("\r\n", "\n") for part in message.iter_parts())
    assert plain == content.plain_text
    assert html == content.html
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_unsubscribing_at_once_names_the_client() -> None:
    mail = MailSettings(SMTP.smtp_url, SMTP.sender, "https://acme.example/stop?who={client_id}", SMTP.folder)
    message = message_from_bytes(message_bytes("a&b=>c\r\n", mail=mail), policy=default)
    assert message["List-Unsubscribe"] == "<https://acme.example/stop?who=a%26b%3D%3Ec%0D%0A>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_message_ids_are_the_same_for_the_same_client_and_week() -> None:
    sender = sender_of(SMTP)
    assert message_id(SUNDAY, "c", sender) == message_id(SUNDAY, "c", sender)
    found = {message_id(SUNDAY, client, sender) for client in ("a", "b", "a\r\nb", "../../etc")}
    assert len(found) == 4
    assert all(re.fullmatch(r"<2024-03-03\.[0-9a-f]{32}@acme\.example>", identity) for identity in found)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ann@example.com", "ann@example.com"),
        ("  ann+tag@example.com\t", "ann+tag@example.com"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("jürgen@example.com", "jürgen@example.com"),
        ("o'neil@example.com", "o'neil@example.com"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert mail_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "ann",
            "@example.com",
            "ann@",
            "a@b@c",
            "a b@example.com",
            "ann@exa mple.com",
            "a@b, c@d",
            "a@b;c@d",
        ),
        *("ann@example.com\r\nBcc: x@example.com", "Ann <ann@example.com>", "a(b)@example.com", "a\x00@example.com"),
        *("ü'\"<b>@example.com", "a..b@example.com", ".a@example.com", "a@example..com", "x" * 250 + "@example.com"),
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert mail_address(text) is None


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=12), st.text(st.characters(codec="utf-8"), max_size=12))
def test_an_address_never_becomes_a_header_or_a_second_recipient(local: str, domain: str) -> None:
    address = mail_address(f"{local}@{domain}")
    if address is not None:
        message = message_from_string(message_bytes(recipient=address).decode(), policy=default)
        assert [found.addr_spec for found in message["To"].addresses] == [address]
        assert "Bcc" not in message


@pytest.mark.parametrize(
    ("mail", "setting"),
    [
        (MailSettings("smtp://x", None, None, Path()), "HEALTH_MAIL_FROM"),
        (MailSettings("smtp://x", "nobody", None, Path()), "HEALTH_MAIL_FROM"),
        (MailSettings("smtp://x", "a@b.example\nBcc: c@d.example", None, Path()), "HEALTH_MAIL_FROM"),
        (MailSettings("smtp://x", "a@b.example", "http://plain.example/", Path()), "HEALTH_MAIL_UNSUBSCRIBE"),
        (MailSettings("smtp://x", "a@b.example", "mailto:a@b.example>\r\nX: y", Path()), "HEALTH_MAIL_UNSUBSCRIBE"),
    ],
)
def test_settings_that_no_mail_can_be_sent_with(mail: MailSettings, setting: str) -> None:
    with pytest.raises(SettingError, match=setting):
        sender_of(mail)


@pytest.mark.parametrize("url", ["mail.example.com", "http://mail.example.com", "smtp://", "smtp://user:secret@host:x"])
def test_a_mail_server_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingError, match="HEALTH_SMTP_URL") as refused:
        SmtpTransport(url)
    assert "secret" not in str(refused.value)


def test_without_a_mail_server_mails_go_to_a_folder(tmp_path: Path) -> None:
    mail = read_settings({"HEALTH_HOME": str(tmp_path)}).mail
    assert mail == MailSettings(None, None, None, tmp_path / "mail")
    assert isinstance(transport_of(mail), FolderTransport)
    assert sender_of(mail).address == "client-success@localhost"


@pytest.mark.parametrize(
    ("clock", "zone", "week"),
    [
        (datetime(2024, 3, 3, 0, 0, tzinfo=UTC), "UTC", date(2024, 3, 3)),
        (datetime(2024, 3, 2, 23, 59, tzinfo=UTC), "UTC", date(2024, 2, 25)),
        (datetime(2024, 3, 9, 23, 59, tzinfo=UTC), "UTC", date(2024, 3, 3)),
        (datetime(2024, 3, 2, 23, 30, tzinfo=UTC), "Europe/Berlin", date(2024, 3, 3)),
        (datetime(2024, 3, 3, 4, 0, tzinfo=UTC), "America/New_York", date(2024, 2, 25)),
    ],
)
def test_the_newest_week(clock: datetime, zone: str, week: date) -> None:
    assert newest_week(Calendar(zone), clock) == week
