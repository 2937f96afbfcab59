"""Dagster's storage: connections that are kept, and replaced when the server has dropped them."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from health_pipeline.embedded import EmbeddedServer
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.support.databases import query
from health_pipeline_tests.support.deployment import deployed


def test_connections_are_kept_and_replaced(
    server: EmbeddedServer, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dagster = new_database()
    name = dagster.partition("?")[0].rpartition("/")[2]

    def sessions(what: str = "pid") -> set[int]:
        rows = query(
            server.url("postgres"), f"SELECT {what} AS found, pid FROM pg_stat_activity WHERE datname = '{name}'"
        )
        return {row["pid"] for row in rows}

    with deployed(monkeypatch, tmp_path, dagster, dagster, dagster) as deployment:
        instance = deployment.instance

        def use() -> None:
            assert instance.get_runs_count() == 0
            assert instance.get_latest_materialization_event(dg.AssetKey("usage_metrics")) is None
            assert list(instance.all_instigator_state()) == []

        use()
        kept = sessions()
        for _ in range(5):
            use()
        assert kept
        assert sessions() == kept
        assert sessions("pg_terminate_backend(pid, 5000)") == kept
        use()
        assert sessions() & kept == set()
