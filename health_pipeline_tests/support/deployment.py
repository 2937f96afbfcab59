"""A deployment with databases of its own, in which jobs run through Dagster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from health_pipeline.days import DayRange
from health_pipeline.orchestration.checks import STANDING_CHECKS
from health_pipeline.orchestration.definitions import defs
from health_pipeline.orchestration.instance import open_instance
from health_pipeline.orchestration.jobs import NIGHTLY
from health_pipeline.orchestration.partitions import range_tags
from health_pipeline.settings import read_settings
from health_pipeline_tests.support.runs import TENANT_HEALTH

# A run tells the screen of every step otherwise.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Deployment:
    """The URLs that the environment names, and Dagster's instance on them."""

    source: str
    warehouse: str
    instance: dg.DagsterInstance

    def run(self, days: DayRange, names: Iterable[str] = TENANT_HEALTH, **tags: str) -> dg.ExecuteInProcessResult:
        """One run of the nightly job over a range of days, of the named tables alone."""
        return defs.resolve_job_def(NIGHTLY).execute_in_process(
            instance=self.instance,
            tags={**range_tags(days), **tags},
            asset_selection=[dg.AssetKey(name) for name in names],
            run_config=QUIET,
            raise_on_error=False,
        )

    def run_checks(self, names: Iterable[str] = TENANT_HEALTH) -> dg.ExecuteInProcessResult:
        """One run of the named tables' checks by themselves, without the standing ones."""
        selection = dg.AssetSelection.checks_for_assets(*(dg.AssetKey(name) for name in names))
        selection -= dg.AssetSelection.checks(*STANDING_CHECKS)
        checks = dg.Definitions(jobs=[dg.define_asset_job("checks_alone", selection=selection)])
        return (
            dg.Definitions.merge(defs, checks)
            .resolve_job_def("checks_alone")
            .execute_in_process(instance=self.instance, run_config=QUIET, raise_on_error=False)
        )

    def metadata(self, table: str) -> dict[date, dict[str, Any]]:
        """The metadata of the table's newest materialisation, by day."""
        records = self.instance.fetch_materializations(dg.AssetKey(table), limit=1000).records
        result: dict[date, dict[str, Any]] = {}
        for record in records:  # newest first
            assert record.asset_materialization is not None
            values = {name: value.value for name, value in record.asset_materialization.metadata.items()}
            result.setdefault(date.fromisoformat(str(record.partition_key)), values)
        return result


@contextmanager
def deployed(
    monkeypatch: pytest.MonkeyPatch, home: Path, source: str, warehouse: str, dagster: str
) -> Iterator[Deployment]:
    """A deployment on these databases, which the environment names while it lasts."""
    for name, value in {
        "SOURCE_URL": source,
        "WAREHOUSE_URL": warehouse,
        "DAGSTER_URL": dagster,
        "HOME": str(home),
    }.items():
        monkeypatch.setenv(f"HEALTH_{name}", value)
    # Set by open_instance; named here so that it is taken back.
    monkeypatch.setenv("DAGSTER_HOME", "")
    with open_instance(read_settings()) as instance:
        yield Deployment(source, warehouse, instance)


def failure(result: dg.ExecuteInProcessResult) -> str:
    """The words of the failed step."""
    assert not result.success
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data
    return str(data.user_failure_data.description if data.user_failure_data else data.error)


def attempts(result: dg.ExecuteInProcessResult, step: str) -> int:
    """How often the step was begun."""
    begun = (dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED)
    return sum(event.step_key == step and event.event_type in begun for event in result.all_events)
