"""Settings from the environment. Rule: interface.md, "setting (environment)".

What belongs here: names, defaults and checks of settings. What does not: starting servers (embedded.py) or connecting.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from health_pipeline.days import DAY, Calendar, DayRange
from health_pipeline.errors import SettingError

DEFAULT_START_DATE = "2024-01-01"
SOURCE_TIMEOUT_SECONDS = 1800
ENGINE_MEMORY_MB, MOST_ENGINE_MEMORY_MB = 600, 2400


@dataclass(frozen=True)
class MailSettings:
    """How weekly mails leave. smtp_url None: as .eml files in `folder`.

    sender: the From address, with or without a name. unsubscribe: what the List-Unsubscribe header says, a mailto: or
    https: URL, in which {client_id} stands for the client; None: a mail to the sender.
    """

    smtp_url: str | None
    sender: str | None
    unsubscribe: str | None
    folder: Path


@dataclass(frozen=True)
class AlertSettings:
    """Whom to tell of what needs somebody. webhook: a secret URL that takes Slack's JSON, or None. mail_to: addresses.

    ui_url: where people reach the Dagster UI, for the links.
    """

    webhook: str | None
    mail_to: tuple[str, ...]
    ui_url: str


@dataclass(frozen=True)
class Settings:
    """Everything a command or a run needs to know. A URL that is None stands for the embedded server's database.

    restate_days: how many days before the newest each night computes again, for facts that came late.
    engine_memory_mb: what a run's engine may take; where that isn't enough, the run begins again with up to most_engine_memory_mb.
    feature_adoption_days: for how long every day of feature_adoption is kept; None: for ever.
    """

    source_url: str | None
    source_mapping: Path | None
    warehouse_url: str | None
    dagster_url: str | None
    policy: Path | None
    start_date: date
    timezone: str
    home: Path
    max_bad_share: float
    restate_days: int
    source_timeout_seconds: int
    engine_memory_mb: int
    most_engine_memory_mb: int
    feature_adoption_days: int | None
    mail: MailSettings
    alerts: AlertSettings

    @property
    def calendar(self) -> Calendar:
        return Calendar(self.timezone)

    def last_day(self, clock: datetime) -> date:
        """The last day that is over: the newest partition there can be."""
        return self.calendar.day_of(clock) - DAY

    def checked_range(self, first: date, last: date, clock: datetime) -> DayRange:
        """The range, if every day of it can be a partition. Raises SettingError naming the days that can."""
        newest = self.last_day(clock)
        if last < first:
            raise SettingError(f"--to {last} lies before --from {first}; swap them")
        if first < self.start_date:
            raise SettingError(
                f"{first} lies before the first partition {self.start_date}; start there or set HEALTH_START_DATE"
            )
        if last > newest:
            raise SettingError(
                f"{last} is not over yet in {self.timezone}; the newest day that can be computed is {newest}"
            )
        return DayRange(first, last)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. Raises SettingError with the name, the value and what is expected."""
    env = os.environ if environment is None else environment

    def given(name: str) -> str | None:
        return env.get(name) or None

    def path(name: str) -> Path | None:
        value = given(name)
        return Path(value).expanduser().absolute() if value else None

    zone = given("HEALTH_TIMEZONE") or "UTC"
    Calendar(zone)
    home = (path("HEALTH_HOME") or Path(".health")).absolute()
    engine_memory = given("HEALTH_ENGINE_MEMORY")
    memory = None if engine_memory is None else _whole("HEALTH_ENGINE_MEMORY", engine_memory, 100, 1_000_000)
    return Settings(
        source_url=given("HEALTH_SOURCE_URL"),
        source_mapping=path("HEALTH_SOURCE_MAPPING"),
        warehouse_url=given("HEALTH_WAREHOUSE_URL"),
        dagster_url=given("HEALTH_DAGSTER_URL"),
        policy=path("HEALTH_POLICY"),
        start_date=parsed_date("HEALTH_START_DATE", given("HEALTH_START_DATE") or DEFAULT_START_DATE),
        timezone=zone,
        home=home,
        max_bad_share=_share("HEALTH_MAX_BAD_SHARE", given("HEALTH_MAX_BAD_SHARE") or "0.01"),
        restate_days=_whole("HEALTH_RESTATE_DAYS", given("HEALTH_RESTATE_DAYS") or "3", 0, 60),
        source_timeout_seconds=_whole(
            "HEALTH_SOURCE_TIMEOUT", given("HEALTH_SOURCE_TIMEOUT") or str(SOURCE_TIMEOUT_SECONDS), 1, 86_400
        ),
        engine_memory_mb=memory or ENGINE_MEMORY_MB,
        most_engine_memory_mb=memory or MOST_ENGINE_MEMORY_MB,
        feature_adoption_days=_days_kept(given("HEALTH_FEATURE_ADOPTION_DAYS")),
        mail=MailSettings(
            smtp_url=given("HEALTH_SMTP_URL"),
            sender=given("HEALTH_MAIL_FROM"),
            unsubscribe=given("HEALTH_MAIL_UNSUBSCRIBE"),
            folder=home / "mail",
        ),
        alerts=AlertSettings(
            webhook=_web_url("HEALTH_ALERT_WEBHOOK", given("HEALTH_ALERT_WEBHOOK")),
            mail_to=tuple(part.strip() for part in (given("HEALTH_ALERT_MAIL") or "").split(",") if part.strip()),
            ui_url=(_web_url("HEALTH_UI_URL", given("HEALTH_UI_URL")) or "http://127.0.0.1:3000").rstrip("/"),
        ),
    )


def parsed_date(name: str, value: str) -> date:
    """A date written YYYY-MM-DD. Raises SettingError with the name of the setting or argument."""
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise SettingError(f"{name} must be a date such as 2024-01-31, but is {value!r}") from error


def _share(name: str, value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise SettingError(f"{name} must be a share between 0 and 1 such as 0.01, but is {value!r}")
    return share


def _whole(name: str, value: str, least: int, most: int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise SettingError(f"{name} must be a whole number from {least} to {most}, but is {value!r}")
    return number


def _days_kept(value: str | None) -> int | None:
    return None if value is None else _whole("HEALTH_FEATURE_ADOPTION_DAYS", value, 62, 36_500)


def _web_url(name: str, value: str | None) -> str | None:
    """The URL, unless it is none for the web. The message leaves out the value: a webhook's is a secret."""
    if value is not None and not value.startswith(("http://", "https://")):
        raise SettingError(f"{name} must be a URL that starts with https:// or http://")
    return value


def now() -> datetime:
    """The run's clock, read once at the start of a run."""
    return datetime.now(UTC)
