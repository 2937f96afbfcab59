"""Hand-written SQL inside PostgreSQL: set-based, one pass over each table, for a night or for a range."""

from __future__ import annotations

from pathlib import Path

import psycopg2

from benchmarks.measuring.stages import StageClock
from benchmarks.peers.tables import recreate_tables
from benchmarks.plan import Plan
from health_pipeline.policy.load import load_policy

PEER_SCHEMA = "peer"
_SCRIPTS = Path(__file__).parent / "sql"
# The best of what was tried on 2 cores: two parallel workers beat none, and compiling (jit) never paid.
_TUNING = """
SET LOCAL timezone = 'UTC'; SET LOCAL work_mem = '256MB'; SET LOCAL jit = off;
SET LOCAL max_parallel_workers_per_gather = 2; SET LOCAL random_page_cost = 1.1
"""


def run_handwritten(plan: Plan, clock: StageClock) -> dict[str, int]:
    """Fill the peer's four tables, which lie beside the source's; returns the rows written, by table."""
    recreate_tables(plan.source, PEER_SCHEMA)
    policy = load_policy(None).tenant_health
    parameters = {
        **plan.parameters,
        "features": list(policy.category_of),
        "categories": list(policy.category_of.values()),
        "policy_version": policy.version,
    }
    scripts = ("tenants", "night" if len(plan.days) == 1 else "range", "results")
    written: dict[str, int] = {}
    with clock.stage("SQL"):
        connection = psycopg2.connect(plan.source)
        with connection, connection.cursor() as cursor:
            cursor.execute(_TUNING)
            for name in scripts:
                for statement in (_SCRIPTS / f"{name}.sql").read_text(encoding="utf-8").split(";\n"):
                    if not statement.strip():
                        continue
                    cursor.execute(statement, parameters)
                    if f"INSERT INTO {PEER_SCHEMA}." in statement:
                        written[statement.split(f"INSERT INTO {PEER_SCHEMA}.")[1].split()[0]] = cursor.rowcount
        connection.close()
    return written
