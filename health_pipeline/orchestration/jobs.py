"""The jobs and their schedules. By night a job for the tables by day and one for those by Sunday, as a run has one kind of
partition; apart from them the weekly mails, the standing checks and housekeeping."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from health_pipeline.connections import resolved_urls
from health_pipeline.emails.delivery import deliver_emails
from health_pipeline.orchestration.checks import STANDING_CHECKS
from health_pipeline.orchestration.housekeeping import HOUSEKEEPING, housekeeping_job
from health_pipeline.orchestration.nights import (
    DAILY,
    NIGHTLY_JOBS,
    WEEKLY,
    NightlyJob,
    days_of_schedule,
)
from health_pipeline.orchestration.partitions import range_tags
from health_pipeline.orchestration.system_assets import RETRIES, run_errors
from health_pipeline.settings import Settings, now, read_settings
from health_pipeline.tables.catalogue import TABLES

NIGHTLY = DAILY.name
JOB_OF_CADENCE = {job.cadence: job.name for job in NIGHTLY_JOBS}
_SUNDAY_MORNING = "0 8 * * 0"
_FOUR_TIMES_A_DAY = "30 0,6,12,18 * * *"
_MONDAY_MORNING = "0 5 * * 1"
DELIVER_EMAILS = "deliver_emails"
STANDING = "standing_checks"


def _nightly_job(job: NightlyJob) -> UnresolvedAssetJobDefinition:
    tables = [table.name for table in TABLES.values() if table.cadence == job.cadence]
    # The checks of the tables come along.
    return dg.define_asset_job(job.name, selection=dg.AssetSelection.assets(*tables), description=job.description)


NIGHTLY_JOB_DEFINITIONS = [_nightly_job(job) for job in NIGHTLY_JOBS]

standing_checks_job = dg.define_asset_job(
    STANDING,
    selection=dg.AssetSelection.checks(*STANDING_CHECKS),
    description="Tells of days that are missing or failed, whether or not a night ran.",
)


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """All schedules. They run from the start, but for the mails: these write to people and wait to be turned on."""
    zone = settings.timezone
    return [
        _nightly_schedule(DAILY, zone, "Every night, the day before and the days before it that are restated."),
        _nightly_schedule(
            WEEKLY, zone, "In the night to Sunday, the week that ended and those restated; a partition is a Sunday."
        ),
        _mail_schedule(zone),
        dg.ScheduleDefinition(
            name=STANDING,
            job=standing_checks_job,
            cron_schedule=_FOUR_TIMES_A_DAY,
            execution_timezone=zone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Four times a day, whether every day is there.",
        ),
        dg.ScheduleDefinition(
            name=HOUSEKEEPING,
            job=housekeeping_job,
            cron_schedule=_MONDAY_MORNING,
            execution_timezone=zone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="On Monday morning, old records of runs and what else is kept for a time only.",
        ),
    ]


def _nightly_schedule(job: NightlyJob, zone: str, description: str) -> dg.ScheduleDefinition:
    """Requests the newest partition of the night with those it restates, as one run."""

    @dg.schedule(
        name=job.name,
        job_name=job.name,
        cron_schedule=job.cron,
        execution_timezone=zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
    def request(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        settings = read_settings()
        night = job.due(settings, context.scheduled_execution_time)
        days = days_of_schedule(context.instance, settings, job, night)
        if days is None:
            return dg.SkipReason(f"{night.newest} lies before HEALTH_START_DATE, or has been requested already")
        return dg.RunRequest(run_key=night.newest.isoformat(), tags=range_tags(days))

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
