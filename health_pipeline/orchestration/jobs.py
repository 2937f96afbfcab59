"""The nightly jobs and their schedules: a job for the tables by day, one for those by Sunday, as a run has one kind of
partition."""

from datetime import timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from health_pipeline.connections import resolved_urls
from health_pipeline.emails.delivery import deliver_emails
from health_pipeline.orchestration.system_assets import RETRIES, run_errors
from health_pipeline.settings import Settings, now, read_settings
from health_pipeline.tables.catalogue import TABLES

NIGHTLY = "nightly"
NIGHTLY_SUNDAYS = "nightly_sundays"
JOB_OF_CADENCE = {"daily": NIGHTLY, "weekly": NIGHTLY_SUNDAYS}
# Two in the morning: the day is over in the zone, and late facts of the evening have come in.
_EVERY_NIGHT = "0 2 * * *"
_SUNDAY_NIGHT = "0 2 * * 0"
_SUNDAY_MORNING = "0 8 * * 0"
DELIVER_EMAILS = "deliver_emails"


def nightly_jobs() -> list[UnresolvedAssetJobDefinition]:
    """All tables of the partition that ended last, by day and by Sunday."""
    return [
        _job(NIGHTLY, "daily", "The daily tables of the day that has just ended."),
        _job(NIGHTLY_SUNDAYS, "weekly", "The weekly tables of the week that has just ended."),
    ]


def _job(name: str, cadence: str, description: str) -> UnresolvedAssetJobDefinition:
    tables = [table.name for table in TABLES.values() if table.cadence == cadence]
    # A group of assets in one step brings its checks along.
    return dg.define_asset_job(name, selection=dg.AssetSelection.assets(*tables), description=description)


def nightly_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Each requests the partition that has just ended, once whatever happened before; the mails wait to be turned on."""
    zone = settings.timezone
    return [
        _partition_schedule(NIGHTLY, _EVERY_NIGHT, zone, -1, "Every night, the day before."),
        _partition_schedule(
            NIGHTLY_SUNDAYS,
            _SUNDAY_NIGHT,
            zone,
            0,
            "In the night to Sunday, the week that ended; its partition is that Sunday.",
        ),
        _mail_schedule(zone),
    ]


def _partition_schedule(job: str, cron: str, zone: str, offset_days: int, description: str) -> dg.ScheduleDefinition:
    """Requests the partition so many days from the night's date."""

    @dg.schedule(
        name=job,
        job_name=job,
        cron_schedule=cron,
        execution_timezone=zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
    def request(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = (context.scheduled_execution_time + timedelta(days=offset_days)).date().isoformat()
        return dg.RunRequest(run_key=day, partition_key=day)

    return request


def _mail_schedule(zone: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=DELIVER_EMAILS,
        job_name=DELIVER_EMAILS,
        cron_schedule=_SUNDAY_MORNING,
        execution_timezone=zone,
        description="On Sunday morning, the mails of the week. Off until somebody turns it on: it writes to people.",
    )
    def deliver(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=context.scheduled_execution_time.date().isoformat())

    return deliver


@dg.op(retry_policy=RETRIES)
def send_weekly_emails(context: dg.OpExecutionContext) -> None:
    """Sends what waits of the newest week; a mail is never sent twice, whatever is retried."""
    settings = read_settings()
    with run_errors():
        delivery = deliver_emails(resolved_urls(settings).warehouse, settings.mail, settings.calendar, now())
    context.add_output_metadata({"week": delivery.week.isoformat(), "sent_now": delivery.sent_now, **delivery.statuses})


@dg.job(name=DELIVER_EMAILS, description="Sends the newest week's mails, each at most once.")
def deliver_emails_job() -> None:
    """One step: delivery is apart from what is computed."""
    send_weekly_emails()
