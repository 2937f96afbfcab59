"""The sensor that tells people: what failed, stopped or turned HIGH goes to a webhook and to mail, once per event."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.tags import (
    AUTO_RETRY_RUN_ID_TAG,
    ROOT_RUN_ID_TAG,
    WILL_RETRY_TAG,
)

from health_pipeline.alerts.deliver import Channel, tell, untold
from health_pipeline.alerts.events import Event, FailedRun, failed_run, failed_run_key, first_words
from health_pipeline.alerts.findings import newest_scored_day, stopped_sources, tenants_turned_high
from health_pipeline.alerts.mail import MailChannel
from health_pipeline.alerts.webhook import WebhookChannel
from health_pipeline.connections import resolved_urls
from health_pipeline.errors import UserError
from health_pipeline.orchestration.instance import PROCESS_TAG
from health_pipeline.orchestration.jobs import DELIVER_EMAILS, JOB_OF_CADENCE
from health_pipeline.orchestration.partitions import tagged_range
from health_pipeline.settings import Settings, now, read_settings
from health_pipeline.warehouse.connection import committing_connection
from health_pipeline.warehouse.migrate import migrate

TELL_PEOPLE = "tell_people"
_SECONDS_BETWEEN_LOOKS = 60
_JOBS = (*JOB_OF_CADENCE.values(), DELIVER_EMAILS)
_LONGEST_AGO = timedelta(days=3)
_MOST_RUNS = 200
_USER_ERRORS = {error.__name__ for error in UserError.__subclasses__()}
# A retry that was announced and not begun after so long isn't waited for any more.
_LONGEST_UNTIL_RETRY = timedelta(minutes=15)


def notification_sensor(settings: Settings) -> dg.SensorDefinition:
    """Runs by default where somebody is to be told."""

    @dg.sensor(
        name=TELL_PEOPLE,
        minimum_interval_seconds=_SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING if channels_of(settings) else dg.DefaultSensorStatus.STOPPED,
        description="Tells of failed runs, stopped sources and tenants that turned HIGH: HEALTH_ALERT_WEBHOOK, HEALTH_ALERT_MAIL.",
    )
    def tell_people(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        current = read_settings()
        channels = channels_of(current)
        if not channels:
            return dg.SensorResult(skip_reason="Nobody to tell: set HEALTH_ALERT_WEBHOOK or HEALTH_ALERT_MAIL.")
        return _look(context, current, channels)

    return tell_people


def channels_of(settings: Settings) -> list[Channel]:
    """The ways to tell people that the settings name."""
    webhook, addresses = settings.alerts.webhook, settings.alerts.mail_to
    channels: list[Channel] = [WebhookChannel(webhook)] if webhook else []
    return [*channels, MailChannel(settings.mail, addresses)] if addresses else channels


def _look(context: dg.SensorEvaluationContext, settings: Settings, channels: Sequence[Channel]) -> dg.SensorResult:
    """Find and tell. The cursor is the newest scored day that everything was told of."""
    clock, ui_url = now(), settings.alerts.ui_url
    warehouse = resolved_urls(settings).warehouse
    migrate(warehouse)
    looked_at = date.fromisoformat(context.cursor) if context.cursor else None
    with committing_connection(warehouse) as connection:
        newest = newest_scored_day(connection, settings, clock)
        events = [
            *_failed_runs(context.instance, connection, channels, clock, ui_url),
            *stopped_sources(connection, clock, ui_url),
            *(tenants_turned_high(connection, settings, newest, looked_at) if newest else ()),
        ]
        told = tell(connection, channels, events, ui_url)
    for failure in told.failures:
        context.log.warning(failure)
    seen = context.cursor if newest is None or told.is_unfinished else newest.isoformat()
    return dg.SensorResult(skip_reason=f"events: {len(events)}; {told}", cursor=seen)


def _failed_runs(
    instance: dg.DagsterInstance,
    connection: sa.Connection,
    channels: Sequence[Channel],
    clock: datetime,
    ui_url: str,
) -> list[Event]:
    """Runs of the last days that failed for good and are yet to be told of, oldest first; of a run and its retries, the last."""
    failed = {_root(record): record for record in _over(instance, clock)}
    keys = untold(connection, channels, [failed_run_key(root) for root in failed])
    found = []
    for root, record in failed.items():
        if failed_run_key(root) not in keys or _succeeded_since(instance, root):
            continue
        run = record.dagster_run
        reason = _reason(instance, run.run_id)
        found.append(FailedRun(root, run.run_id, run.job_name, tagged_range(run.tags), _failed_at(record), reason))
    return [failed_run(run, ui_url) for run in sorted(found, key=lambda run: run.failed_at)]


def _over(instance: dg.DagsterInstance, clock: datetime) -> Iterator[RunRecord]:
    """Failed runs that won't be tried again by themselves, oldest first. Not those of a command, whose user sees it."""
    for job in _JOBS:
        recent = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=clock - _LONGEST_AGO)
        for record in reversed(instance.get_run_records(recent, limit=_MOST_RUNS)):
            if PROCESS_TAG not in record.dagster_run.tags and not _is_retried(instance, record, clock):
                yield record


def _is_retried(instance: dg.DagsterInstance, record: RunRecord, clock: datetime) -> bool:
    """Whether Dagster has begun another try, or is going to: with retries on, it says so a moment after the failure."""
    tags = record.dagster_run.tags
    if AUTO_RETRY_RUN_ID_TAG in tags:
        return True
    announced = tags.get(WILL_RETRY_TAG, str(instance.run_retries_enabled).lower())
    return announced == "true" and clock - _failed_at(record) < _LONGEST_UNTIL_RETRY


def _succeeded_since(instance: dg.DagsterInstance, root: str) -> bool:
    """Whether somebody has mended it meanwhile, by running it again."""
    again = dg.RunsFilter(tags={ROOT_RUN_ID_TAG: root}, statuses=[dg.DagsterRunStatus.SUCCESS])
    return bool(instance.get_run_records(again, limit=1))


def _root(record: RunRecord) -> str:
    return record.dagster_run.tags.get(ROOT_RUN_ID_TAG, record.dagster_run.run_id)


def _failed_at(record: RunRecord) -> datetime:
    return record.update_timestamp if record.end_time is None else datetime.fromtimestamp(record.end_time, UTC)


def _reason(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """What the run's first error was: a user error in its own first words, any other by its kind alone, as its text may
    hold rows."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    for record in instance.get_records_for_run(run_id, of_type=kinds, limit=1).records:
        event = record.event_log_entry.get_dagster_event()
        if not event.is_step_failure:
            return first_words(event.message or "")
        error, said = event.step_failure_data.error, event.step_failure_data.user_failure_data
        # See run_errors: a user error fails a run in its own words, and has no cause.
        if said is not None and said.description and (error is None or error.cause is None):
            return first_words(said.description)
        while error is not None:
            if error.cls_name in _USER_ERRORS:
                return first_words(error.message.partition(": ")[2])
            if error.cause is None:
                return error.cls_name
            error = error.cause
    return None
