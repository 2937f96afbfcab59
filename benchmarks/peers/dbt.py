"""A dbt run of one night, with dbt-postgres: the whole command, start-up included."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.command import run_command
from benchmarks.databases import execute
from benchmarks.plan import Measured, Plan
from health_pipeline.policy.load import load_policy

DBT_SCHEMA = "dbt_peer"
_PROJECT = Path(__file__).parents[1] / "dbt"


def run_dbt(program: Path, plan: Plan, scratch: Path) -> list[Measured]:
    """Build the night so many times. Before the first, untimed, the day before and the rollups of all history are built.

    scratch: a folder for what dbt writes. Raises RuntimeError where a run fails.
    """
    execute(plan.source, f"DROP SCHEMA IF EXISTS {DBT_SCHEMA} CASCADE")
    _run(program, plan, plan.day_before.last.isoformat(), scratch)
    return [_run(program, plan, plan.last, scratch) for _ in range(plan.repeats)]


def _run(program: Path, plan: Plan, day: str, scratch: Path) -> Measured:
    policy = load_policy(None).tenant_health
    variables = {"day": day, "policy_version": policy.version, "features": policy.category_of}
    folders = {"--project-dir": _PROJECT, "--profiles-dir": _PROJECT, "--target-path": scratch, "--log-path": scratch}
    arguments: list[str | Path] = [program, "run", "--quiet", "--no-use-colors", "--vars", json.dumps(variables)]
    execute(plan.server, "CHECKPOINT")
    for option, folder in folders.items():
        arguments += [option, folder]
    return run_command(arguments, _environment(plan.source), plan.postmaster)


def _environment(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    host = parts.hostname or parse_qs(parts.query).get("host", ["localhost"])[0]
    return {
        "BENCH_HOST": host,
        "BENCH_PORT": str(parts.port or 5432),
        "BENCH_USER": parts.username or "postgres",
        "BENCH_PASSWORD": parts.password or "",
        "BENCH_DATABASE": parts.path.removeprefix("/"),
    }
