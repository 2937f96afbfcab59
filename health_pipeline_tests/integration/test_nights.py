"""Nights that nobody watched: Dagster's own scheduler and sensor daemon over an outage, at frozen times, on a real instance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState

from health_pipeline.days import DayRange
from health_pipeline.orchestration.definitions import defs
from health_pipeline.orchestration.nights import DAILY, NIGHTLY_JOBS
from health_pipeline.orchestration.partition_states import PartitionStates, partition_states
from health_pipeline.orchestration.partitions import range_tags
from health_pipeline.settings import read_settings
from health_pipeline.tables.catalogue import TABLES
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.support.daemon import Daemon, daemon_on, requested
from health_pipeline_tests.support.databases import execute, query, value
from health_pipeline_tests.support.deployment import QUIET, Deployment, deployed
from health_pipeline_tests.support.small_sources import LEAST

KNOWN = DayRange(date(2024, 3, 4), date(2024, 3, 9))
LAST_NIGHT = datetime(2024, 3, 11, 2, tzinfo=UTC)
AFTER_OUTAGE = datetime(2024, 3, 19, 10, tzinfo=UTC)
MISSED = DayRange(date(2024, 3, 11), date(2024, 3, 18))
MINUTE = timedelta(minutes=1)

New = Callable[[], Deployment]


def march(first: int, last: int) -> DayRange:
    return DayRange(date(2024, 3, first), date(2024, 3, last))


@pytest.fixture(scope="module")
def before_outage(
    new_module_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str, str]:
    """Source, warehouse and Dagster storage of a deployment whose days were computed by a command and, at last, by a night."""
    home = tmp_path_factory.mktemp("before")
    source, warehouse, storage = new_module_database(), new_module_database(migrated_template), new_module_database()
    execute(source, *LEAST)
    with (
        pytest.MonkeyPatch.context() as patch,
        deployed(patch, home, source, warehouse, storage) as deployment,
        daemon_on(deployment.instance, patch) as daemon,
    ):
        compute(deployment, "nightly", KNOWN)
        compute(deployment, "nightly_sundays", DayRange(date(2024, 3, 3), date(2024, 3, 10)))
        daemon.schedules(LAST_NIGHT - timedelta(hours=14))
        daemon.schedules(LAST_NIGHT)
        daemon.execute(LAST_NIGHT)
        assert requested(deployment.instance, "nightly")[-1] == march(7, 10)
    return source, warehouse, storage


@pytest.fixture
def deployment(
    before_outage: tuple[str, str, str], new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Deployment]:
    """A copy of it."""
    copies = [new_database(urlsplit(url).path[1:]) for url in before_outage]
    with deployed(monkeypatch, tmp_path / "home", *copies) as deployment:
        yield deployment


@pytest.fixture
def daemon(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon that was started after the outage."""
    with daemon_on(deployment.instance, monkeypatch) as daemon:
        yield daemon


def compute(deployment: Deployment, job: str, days: DayRange) -> None:
    result = defs.resolve_job_def(job).execute_in_process(
        instance=deployment.instance, tags=range_tags(days), run_config=QUIET
    )
    assert result.success


def new_requests(daemon: Daemon, job: str) -> list[DayRange]:
    """What was requested after the outage began."""
    return requested(daemon.instance, job)[2 if job == "nightly" else 1 :]


def all_states(instance: dg.DagsterInstance, clock: datetime) -> dict[str, PartitionStates]:
    settings = read_settings()
    newest = {job.cadence: job.due(settings, clock).newest for job in NIGHTLY_JOBS}
    return {
        table.name: partition_states(instance, settings, table.name, newest[table.cadence])
        for table in TABLES.values()
        if table.cadence
    }


def schedule_of_nights(instance: dg.DagsterInstance) -> InstigatorState:
    (state,) = [
        state
        for state in instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
        if state.instigator_name == DAILY.name
    ]
    return state


@pytest.mark.parametrize("first", ["schedules", "sensors"])
def test_eight_nights_are_made_up_for_each_requested_once(daemon: Daemon, first: str) -> None:
    looks = [daemon.schedules, daemon.sensors] if first == "schedules" else [daemon.sensors, daemon.schedules]
    for minute in range(2):
        for look in looks:
            look(AFTER_OUTAGE + minute * MINUTE)
    # The nights before the newest in one range, with the days that they would have restated; the newest by the schedule.
    assert sorted(new_requests(daemon, "nightly"), key=lambda days: days.first) == [march(8, 17), march(18, 18)]
    times = Counter(day for days in new_requests(daemon, "nightly") for day in days)
    assert {day: times[day] for day in MISSED} == dict.fromkeys(MISSED, 1)
    assert new_requests(daemon, "nightly_sundays") == [march(10, 17)]

    if first == "sensors":
        # One order is enough to be executed; the runs are the same.
        daemon.execute(AFTER_OUTAGE + 5 * MINUTE)
        for name, states in all_states(daemon.instance, AFTER_OUTAGE).items():
            assert not states.missing | states.failed | states.running, name
            assert max(states.materialized) == (
                date(2024, 3, 18) if TABLES[name].cadence == "daily" else date(2024, 3, 17)
            )
        daemon.sensors(AFTER_OUTAGE + 10 * MINUTE)
        daemon.schedules(AFTER_OUTAGE + 10 * MINUTE)
        assert len(new_requests(daemon, "nightly")) == 2


def test_a_schedule_that_was_never_seen_leaves_all_nights_to_the_sensor(daemon: Daemon, deployment: Deployment) -> None:
    """As after the first start of the daemon long after a backfill: Dagster begins with the next night."""
    state = schedule_of_nights(daemon.instance)
    daemon.instance.delete_instigator_state(state.instigator_origin_id, state.selector_id)
    # What computes a part of a night leaves it missed.
    with daemon.at(AFTER_OUTAGE - MINUTE):
        assert deployment.run(march(11, 11), **{"health/tenant": "t"}).success
        assert deployment.run(march(12, 12), ["usage_metrics"]).success
    by_hand = len(requested(daemon.instance, "nightly"))
    for minute in range(2):
        daemon.schedules(AFTER_OUTAGE + minute * MINUTE)
        daemon.sensors(AFTER_OUTAGE + minute * MINUTE)
    assert requested(daemon.instance, "nightly")[by_hand:] == [march(8, 18)]


def test_a_schedule_turned_off_stays_so_and_is_made_up_for_when_turned_on(daemon: Daemon) -> None:
    (schedule,) = [
        schedule
        for location in daemon.workspace.create_request_context().code_locations
        for schedule in location.get_repository("__repository__").get_schedules()
        if schedule.name == DAILY.name
    ]
    daemon.instance.stop_schedule(schedule.get_remote_origin_id(), schedule.selector_id, schedule)
    daemon.schedules(AFTER_OUTAGE)
    daemon.sensors(AFTER_OUTAGE)
    assert new_requests(daemon, "nightly") == []
    with daemon.at(AFTER_OUTAGE + MINUTE):
        daemon.instance.start_schedule(schedule)
    daemon.schedules(AFTER_OUTAGE + 2 * MINUTE)
    daemon.sensors(AFTER_OUTAGE + 2 * MINUTE)
    assert new_requests(daemon, "nightly") == [march(8, 18)]


def test_a_night_that_failed_is_shown_and_left_to_the_next_one(daemon: Daemon, deployment: Deployment) -> None:
    night = datetime(2024, 3, 12, 2, tzinfo=UTC)
    execute(deployment.source, "ALTER TABLE app.users RENAME created_at TO born_at")
    daemon.schedules(night)
    daemon.execute(night)
    daemon.sensors(night + 5 * MINUTE)
    assert new_requests(daemon, "nightly") == [march(8, 11)]
    states = all_states(daemon.instance, night)["tenant_health_scores"]
    assert states.failed == frozenset(march(8, 11))
    assert states.missing == frozenset()
    assert not standing_checks(daemon, night)["tenant_health_scores"]

    execute(deployment.source, "ALTER TABLE app.users RENAME born_at TO created_at")
    daemon.schedules(night + timedelta(days=1))
    # The 8th, which failed with it, comes along.
    assert new_requests(daemon, "nightly")[-1] == march(8, 12)
    daemon.execute(night + timedelta(days=1))
    assert all(standing_checks(daemon, night + timedelta(days=1)).values())


def standing_checks(daemon: Daemon, clock: datetime) -> dict[str, bool]:
    """Whether each standing check passes, in a run as the schedule requests it."""
    with daemon.at(clock):
        result = defs.resolve_job_def("standing_checks").execute_in_process(instance=daemon.instance, run_config=QUIET)
    return {each.asset_key.to_user_string(): each.passed for each in result.get_asset_check_evaluations()}


def test_missing_days_are_told_and_a_cancelled_night_is_not_requested_again(daemon: Daemon) -> None:
    night = datetime(2024, 3, 12, 2, tzinfo=UTC)
    assert standing_checks(daemon, night) == {
        "tenant_health_scores": False,
        "customer_order_health": False,
        "client_success_scores": False,
    }
    daemon.schedules(night)
    # A day that is being computed isn't missing.
    assert all(standing_checks(daemon, night).values())
    (run,) = [run for run in daemon.queued() if run.job_name == "nightly"]
    daemon.instance.report_run_canceled(run)
    daemon.sensors(night + MINUTE)
    assert new_requests(daemon, "nightly") == [march(8, 11)]
    assert all_states(daemon.instance, night)["usage_metrics"].missing == {date(2024, 3, 11)}


def test_housekeeping_deletes_old_runs_that_no_day_rests_on(daemon: Daemon, deployment: Deployment) -> None:
    execute(deployment.source, "ALTER TABLE app.users RENAME created_at TO born_at")
    old, instance = datetime(2024, 3, 12, 5, tzinfo=UTC), daemon.instance
    with daemon.at(old):
        failed = [run_of_a_day(deployment, date(2024, 3, 11)) for _ in range(2)]
        checked = [run_of_checks(deployment) for _ in range(2)]
    with daemon.at(old + timedelta(days=90)):
        recent = run_of_checks(deployment)
    known = {run.run_id for run in instance.get_runs()} - {*failed, *checked, recent}
    logs = Path(instance.storage_directory())
    assert all((logs / run_id).is_dir() for run_id in failed)
    before = {name: instance.get_materialized_partitions(dg.AssetKey(name)) for name in TABLES}

    with daemon.at(old + timedelta(days=91)):
        result = defs.resolve_job_def("housekeeping").execute_in_process(instance=instance, run_config=QUIET)
    assert result.success
    left = {run.run_id for run in instance.get_runs()} - {result.run_id}
    # The failed day is known by its second run; the checks' newest results are the recent ones.
    assert left == {*known, failed[1], recent}
    assert [(logs / run_id).exists() for run_id in failed] == [False, True]
    assert before == {name: instance.get_materialized_partitions(dg.AssetKey(name)) for name in TABLES}
    assert all_states(instance, old)["usage_metrics"].failed == {date(2024, 3, 11)}


def test_housekeeping_thins_old_months_and_looks_at_whole_tables(
    daemon: Daemon, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = "SELECT DISTINCT metric_date FROM health.feature_adoption ORDER BY 1"
    before = [row["metric_date"] for row in query(deployment.warehouse, days)]
    assert len(before) > 1
    features = value(deployment.warehouse, "SELECT count(*) FROM health.feature_adoption") // len(before)
    # The end of March is 62 days before the newest day, then 63.
    for clock, setting, kept in (
        (datetime(2024, 6, 2, 5, tzinfo=UTC), None, before),
        (datetime(2024, 6, 2, 5, tzinfo=UTC), "62", before),
        (datetime(2024, 6, 3, 5, tzinfo=UTC), "62", before[-1:]),
    ):
        with daemon.at(clock), monkeypatch.context() as patch:
            if setting is not None:
                patch.setenv("HEALTH_FEATURE_ADOPTION_DAYS", setting)
            result = defs.resolve_job_def("housekeeping").execute_in_process(instance=daemon.instance, run_config=QUIET)
        assert [row["metric_date"] for row in query(deployment.warehouse, days)] == kept
        (output,) = [event for event in result.all_events if event.is_successful_output]
        told = output.event_specific_data.metadata["feature_adoption_rows_deleted"].value
        assert told == features * (len(before) - len(kept))
    whole = query(deployment.warehouse, "SELECT DISTINCT tablename FROM pg_stats WHERE inherited")
    assert {"tenant_profiles", "tenant_health_scores", "usage_metrics"} <= {row["tablename"] for row in whole}


def run_of_a_day(deployment: Deployment, day: date) -> str:
    return deployment.run(DayRange(day, day)).run_id


def run_of_checks(deployment: Deployment) -> str:
    job = defs.resolve_job_def("standing_checks")
    return job.execute_in_process(instance=deployment.instance, run_config=QUIET).run_id


def test_with_nothing_ever_materialised_the_sensor_waits_for_the_first_night(
    new_database: NewDatabase, warehouse: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (
        deployed(monkeypatch, tmp_path / "home", new_database(), warehouse, new_database()) as deployment,
        daemon_on(deployment.instance, monkeypatch) as daemon,
    ):
        daemon.schedules(AFTER_OUTAGE)
        daemon.sensors(AFTER_OUTAGE)
        assert requested(daemon.instance, "nightly") == []
        daemon.schedules(AFTER_OUTAGE + timedelta(days=1))
        assert requested(daemon.instance, "nightly") == [march(16, 19)]
