"""What `status` says of sources that stopped, tenants without a score, and notifications that nobody may have got."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from health_pipeline.cli import main
from health_pipeline.settings import now
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.support.databases import execute, insert
from health_pipeline_tests.support.deployment import deployed
from health_pipeline_tests.support.small_sources import LEAST

DAY = date(2024, 3, 5)
NOON = datetime(2024, 3, 6, 12, tzinfo=UTC)


def found(source_table: str, is_stopped: bool, recorded_at: datetime) -> dict[str, object]:
    return {
        "run_id": f"run of {recorded_at}",
        "system": "tenant_health",
        "source_table": source_table,
        "first_day": DAY,
        "last_day": DAY,
        "newest_fact_at": NOON - timedelta(days=3),
        "is_stopped": is_stopped,
        "recorded_at": recorded_at,
    }


def notification(key: str, status: str) -> dict[str, object]:
    return {
        "event_key": key,
        "channel": "webhook",
        "kind": "failed_run",
        "since": NOON,
        "message": "A night failed.",
        "status": status,
        "attempts": 1,
        "reserved_at": NOON,
    }


@pytest.fixture
def status_lines(
    monkeypatch: pytest.MonkeyPatch, new_database: NewDatabase, warehouse: str, tmp_path: Path
) -> list[str]:
    """The lines of the command over a small deployment with records of all kinds."""
    source = new_database()
    execute(source, *LEAST)
    with deployed(monkeypatch, tmp_path / "home", source, warehouse, new_database()) as deployment:
        assert CliRunner().invoke(main, ["backfill", "--from", str(DAY), "--to", str(DAY)]).exit_code == 0
        insert(
            deployment.warehouse,
            "source_freshness",
            [
                found("events", True, now() + timedelta(hours=1)),
                found("users", True, now() + timedelta(hours=1)),
                found("users", False, now() + timedelta(hours=2)),
            ],
        )
        execute(deployment.warehouse, "DELETE FROM health.unscored_tenants")
        insert(
            deployment.warehouse,
            "unscored_tenants",
            [
                {"metric_date": day, "tenant_id": tenant, "reason": "nothing was measured"}
                for day, tenant in ((DAY, "a"), (DAY, "b"), (DAY - timedelta(days=1), "c"))
            ],
        )
        insert(
            deployment.warehouse,
            "notifications",
            [notification("1", "sent"), notification("2", "reserved"), notification("3", "refused")],
        )
        monkeypatch.setenv("COLUMNS", "200")
        result = CliRunner().invoke(main, ["status"], catch_exceptions=False)
        assert result.exit_code == 0
        return result.output.splitlines()


def test_status_tells_what_the_records_say(status_lines: list[str]) -> None:
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in status_lines if line.startswith("│")]
    states = {row[0]: row[2] for row in rows[len(rows) // 2 :] if len(row) == 4}
    assert {name for name, state in states.items() if state == "stopped"} == {"events"}
    tables = {row[0]: row for row in rows}
    # Everything that is due since the day is missing, up to the last night.
    assert tables["usage_metrics"][1] == str(DAY)
    assert tables["usage_metrics"][2].startswith(f"{DAY + timedelta(days=1)} to ")
    assert "tenants without a score on the newest day: 2 nothing was measured" in status_lines
    assert "notifications not known to be delivered: 1 refused, 1 reserved" in status_lines
