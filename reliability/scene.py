"""The deployment that is harmed: an invented application, a warehouse that stands half-way, and what should become of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from health_pipeline.days import DayRange
from health_pipeline.demo.generate import generate
from health_pipeline.demo.load import load
from health_pipeline.tables.catalogue import SCHEMA, TABLES
from health_pipeline.tables.declare import Type
from reliability.commands import Backfill
from reliability.contents import COMPUTED, Contents, contents
from reliability.databases import OURS, connected, end_connections, execute, name_of, recreate, sibling
from reliability.server import Server

LAST_DAY = date(2024, 6, 30)
_BEFORE = "_before"
_SHIFTED_TENANTS = 3
_COLUMNS = (
    "SELECT table_name, string_agg(format('%1$I = %1$I + make_interval(days => %2$s)', column_name, {days}), ', ')"
    " FROM information_schema.columns WHERE table_schema = 'app' AND data_type LIKE 'timestamp%' AND table_name <> 'tenants'"
    " GROUP BY 1"
)


@dataclass
class Scene:
    """Source and warehouse on a server that may be harmed, Dagster's storage on another.

    before: the warehouse as each trial begins: the first half of the days, computed from a source that was somewhat different.
    after: as a backfill that nothing disturbs leaves it. other: as it leaves it with the different source. seconds: what such
    a backfill takes.
    """

    victim: Server
    dagster: str
    folder: Path
    days: DayRange
    before: Contents = field(default_factory=dict)
    after: Contents = field(default_factory=dict)
    other: Contents = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def source(self) -> str:
        return self.victim.url("application")

    @property
    def warehouse(self) -> str:
        return self.victim.url("warehouse")

    def backfill(self, **settings: str) -> Backfill:
        """Begin a backfill of all days; settings: in their full names, those that are not the scene's."""
        known = {
            "HEALTH_SOURCE_URL": self.source,
            "HEALTH_WAREHOUSE_URL": self.warehouse,
            "HEALTH_DAGSTER_URL": self.dagster,
            "HEALTH_HOME": str(self.folder / "home"),
        }
        log = self.folder / f"backfill_{time.monotonic_ns()}.log"
        return Backfill({**known, **settings}, self.days, log)

    def restore(self, tablespace: str = "pg_default") -> None:
        """Let everything be as a trial begins."""
        recreate(self.warehouse, name_of(self.warehouse) + _BEFORE, tablespace)
        recreate(self.dagster, name_of(self.dagster) + _BEFORE)

    def shift_source(self, days: int) -> None:
        """Move all that some tenants did by so many days, in one transaction over eleven tables."""
        chosen = f"(SELECT tenant_id FROM app.tenants ORDER BY tenant_id LIMIT {_SHIFTED_TENANTS})"
        with connected(self.source) as cursor:
            cursor.execute(_COLUMNS.format(days=days))
            updates = [
                f"UPDATE app.{table} SET {sets} WHERE tenant_id IN {chosen}" for table, sets in cursor.fetchall()
            ]
            cursor.execute("BEGIN; " + "; ".join(updates) + "; COMMIT")

    def seconds_until_alone(self, limit: float = 20.0) -> float | None:
        """How long connections of runs, and so their locks, are still there; None: at the end of the limit they are."""
        began = time.monotonic()
        names = f"'{name_of(self.source)}', '{name_of(self.warehouse)}'"
        others = (
            f"SELECT count(*) FROM pg_stat_activity WHERE datname IN ({names}) AND backend_type = 'client backend'"
            f" AND application_name <> '{OURS}'"
        )
        with connected(self.victim.url("postgres")) as cursor:
            while time.monotonic() < began + limit:
                cursor.execute(others)
                if cursor.fetchone() == (0,):
                    return time.monotonic() - began
                time.sleep(0.02)
        return None


def prepared_scene(victim: Server, dagster: str, folder: Path, *, tenants: int, days: int) -> Scene:
    """A scene whose undisturbed backfills have been run. dagster: the URL of an empty database on a server that stays well.

    Raises RuntimeError where one of these fails.
    """
    scene = Scene(victim, dagster, folder, DayRange(LAST_DAY - timedelta(days=days - 1), LAST_DAY))
    load(scene.source, generate(tenants=tenants, days=2 * days, seed=7, last_day=LAST_DAY))
    scene.shift_source(-1)
    _undisturbed(scene)
    scene.other = contents(scene.warehouse)
    _forget_late_days(scene)
    scene.before = contents(scene.warehouse)
    for url in (scene.warehouse, scene.dagster):
        end_connections(url)
        execute(sibling(url, "postgres"), f"CREATE DATABASE {name_of(url)}{_BEFORE} TEMPLATE {name_of(url)}")
    # For faults of a server that holds Dagster's storage too.
    execute(victim.url("postgres"), f"CREATE DATABASE dagster{_BEFORE}")
    scene.shift_source(+1)
    scene.seconds = _undisturbed(scene)
    scene.after = contents(scene.warehouse)
    return scene


def _undisturbed(scene: Scene) -> float:
    run = scene.backfill()
    code = run.wait()
    if code:
        raise RuntimeError(f"an undisturbed backfill failed: {run.output[-2000:]}")
    return time.monotonic() - run.began


def _forget_late_days(scene: Scene) -> None:
    """Take away the second half of the days, so that a backfill has days to replace and days to add; and the counted uses,
    which are for the days that follow."""
    middle = scene.days.first + timedelta(days=len(scene.days) // 2)
    keys = {name: next(c for c in TABLES[name].columns if c.name == TABLES[name].key[0]) for name in COMPUTED}
    execute(
        scene.warehouse,
        *(
            f"DELETE FROM {SCHEMA}.{name} WHERE {key.name} >= '{middle}'"
            for name, key in keys.items()
            if key.type is Type.DATE
        ),
        f"TRUNCATE {SCHEMA}.feature_use_base, {SCHEMA}.feature_use_bases",
    )
