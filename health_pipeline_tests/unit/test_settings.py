"""Settings: defaults, what each name does, and how a wrong value is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from health_pipeline.days import DayRange
from health_pipeline.errors import SettingError
from health_pipeline.postgres_urls import connection_uri
from health_pipeline.settings import now, parsed_date, read_settings
from health_pipeline.sources.connect import connect

CLOCK = datetime(2024, 3, 10, 5, tzinfo=UTC)


def test_defaults() -> None:
    settings = read_settings({})
    assert (settings.source_url, settings.source_mapping, settings.warehouse_url, settings.dagster_url) == (None,) * 4
    assert (settings.policy, settings.start_date, settings.timezone) == (None, date(2024, 1, 1), "UTC")
    assert settings.home == Path.cwd() / ".health"
    assert settings.max_bad_share == 0.01


def test_every_setting_is_read() -> None:
    settings = read_settings(
        {
            "HEALTH_SOURCE_URL": "duckdb://a b.duckdb",
            "HEALTH_SOURCE_MAPPING": "mapping.yaml",
            "HEALTH_WAREHOUSE_URL": "postgresql://w/w",
            "HEALTH_DAGSTER_URL": "postgresql://d/d",
            "HEALTH_POLICY": "~/policy.yaml",
            "HEALTH_START_DATE": "2023-02-28",
            "HEALTH_TIMEZONE": "America/St_Johns",
            "HEALTH_HOME": "/srv/health",
            "HEALTH_MAX_BAD_SHARE": "0.5",
        }
    )
    assert (settings.source_url, settings.warehouse_url) == ("duckdb://a b.duckdb", "postgresql://w/w")
    assert (settings.dagster_url, settings.source_mapping) == ("postgresql://d/d", Path.cwd() / "mapping.yaml")
    assert settings.policy == Path.home() / "policy.yaml"
    assert (settings.start_date, settings.timezone) == (date(2023, 2, 28), "America/St_Johns")
    assert (settings.home, settings.max_bad_share) == (Path("/srv/health"), 0.5)


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEALTH_TIMEZONE", "Asia/Kolkata")
    assert read_settings().timezone == "Asia/Kolkata"


def test_an_empty_setting_is_no_setting() -> None:
    names = ("SOURCE_URL", "WAREHOUSE_URL", "POLICY", "START_DATE", "TIMEZONE", "HOME", "MAX_BAD_SHARE")
    assert read_settings({f"HEALTH_{name}": "" for name in names}) == read_settings({})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("HEALTH_START_DATE", "2024-02-30", "a date such as"),
        ("HEALTH_START_DATE", "yesterday", "a date such as"),
        ("HEALTH_START_DATE", "01.02.2024", "a date such as"),
        ("HEALTH_TIMEZONE", "Berlin", "an IANA time zone"),
        ("HEALTH_TIMEZONE", "../etc/passwd", "an IANA time zone"),
        ("HEALTH_TIMEZONE", "Europe", "an IANA time zone"),
        ("HEALTH_MAX_BAD_SHARE", "1 %", "a share between 0 and 1"),
        ("HEALTH_MAX_BAD_SHARE", "1.01", "a share between 0 and 1"),
        ("HEALTH_MAX_BAD_SHARE", "-0.1", "a share between 0 and 1"),
        ("HEALTH_MAX_BAD_SHARE", "nan", "a share between 0 and 1"),
    ],
)
def test_a_wrong_value_is_refused_with_name_and_value(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingError) as error:
        read_settings({name: value})
    message = str(error.value)
    assert name in message
    assert repr(value) in message
    assert expected in message
    assert "\n" not in message


def test_a_date_names_the_argument_that_it_came_from() -> None:
    assert parsed_date("--from", "2024-02-29") == date(2024, 2, 29)
    with pytest.raises(SettingError, match="--from must be a date such as 2024-01-31, but is '2023-02-29'"):
        parsed_date("--from", "2023-02-29")


@pytest.mark.parametrize(
    ("zone", "clock", "last"),
    [
        ("UTC", datetime(2024, 3, 10, 0, tzinfo=UTC), date(2024, 3, 9)),
        ("UTC", datetime(2024, 3, 9, 23, 59, 59, 999_999, tzinfo=UTC), date(2024, 3, 8)),
        ("America/New_York", datetime(2024, 3, 10, 4, 59, tzinfo=UTC), date(2024, 3, 8)),
        ("America/New_York", datetime(2024, 3, 10, 5, tzinfo=UTC), date(2024, 3, 9)),
        ("Pacific/Kiritimati", datetime(2024, 3, 10, 10, tzinfo=UTC), date(2024, 3, 10)),
    ],
)
def test_the_last_day_is_the_one_that_is_over_in_the_zone(zone: str, clock: datetime, last: date) -> None:
    assert read_settings({"HEALTH_TIMEZONE": zone}).last_day(clock) == last


def test_a_range_must_consist_of_days_that_can_be_partitions() -> None:
    settings = read_settings({"HEALTH_START_DATE": "2024-02-01"})
    first, last = date(2024, 2, 1), date(2024, 3, 9)
    assert settings.checked_range(first, last, CLOCK) == DayRange(first, last)
    assert settings.checked_range(first, first, CLOCK) == DayRange(first, first)
    with pytest.raises(SettingError, match=r"2024-03-10 is not over yet in UTC; the newest day .* 2024-03-09"):
        settings.checked_range(first, date(2024, 3, 10), CLOCK)
    with pytest.raises(SettingError, match="2024-01-31 lies before the first partition 2024-02-01"):
        settings.checked_range(date(2024, 1, 31), last, CLOCK)
    with pytest.raises(SettingError, match="--to 2024-02-01 lies before --from 2024-03-09; swap them"):
        settings.checked_range(last, first, CLOCK)


def test_the_clock_is_utc() -> None:
    assert now().tzinfo is UTC


@pytest.mark.parametrize(
    "url", ["mysql://me:secret@host/db", "/var/lib/me:secret", "me:secret@host/db", "http://me:secret@host"]
)
def test_an_unknown_kind_of_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingError, match="HEALTH_SOURCE_URL must be") as error:
        connect(url)
    assert "secret" not in str(error.value)
    with pytest.raises(SettingError, match="HEALTH_WAREHOUSE_URL must be") as error:
        connection_uri("HEALTH_WAREHOUSE_URL", url)
    assert "secret" not in str(error.value)


def test_the_engine_may_take_more_memory_only_where_nobody_said_how_much() -> None:
    by_default, given = read_settings({}), read_settings({"HEALTH_ENGINE_MEMORY": "900"})
    assert by_default.engine_memory_mb < by_default.most_engine_memory_mb
    assert (given.engine_memory_mb, given.most_engine_memory_mb) == (900, 900)
