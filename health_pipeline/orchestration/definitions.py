"""The code location: everything that Dagster loads. Importing it reads settings, but connects to nothing."""

import gc
import os

import dagster as dg

from health_pipeline.orchestration.checks import standing_checks, tenant_health_checks
from health_pipeline.orchestration.client_success import client_success_assets
from health_pipeline.orchestration.housekeeping import housekeeping_job
from health_pipeline.orchestration.jobs import (
    NIGHTLY_JOB_DEFINITIONS,
    deliver_emails_job,
    schedules,
    standing_checks_job,
)
from health_pipeline.orchestration.notify import notification_sensor
from health_pipeline.orchestration.order_health import order_health_assets
from health_pipeline.orchestration.sensors import missed_nights_sensor
from health_pipeline.orchestration.sources import source_assets
from health_pipeline.orchestration.tenant_health import tenant_health_assets
from health_pipeline.settings import read_settings

# Events of a range run are stored in batches: one by one they take several times as long as the work they tell of.
os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "500")

defs = dg.Definitions(
    assets=[*source_assets(), tenant_health_assets(), order_health_assets(), *client_success_assets()],
    asset_checks=[*tenant_health_checks(), *standing_checks()],
    jobs=[*NIGHTLY_JOB_DEFINITIONS, deliver_emails_job, standing_checks_job, housekeeping_job],
    schedules=schedules(read_settings()),
    sensors=[missed_nights_sensor, notification_sensor(read_settings())],
    executor=dg.in_process_executor,
)

# What is loaded by now stays. To look for garbage in it again and again took a twentieth of a run.
gc.freeze()
