"""The warehouse: migrations against the declared tables, and writing under readers and other writers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from adbc_driver_postgresql import dbapi
from alembic import command
from alembic.script import ScriptDirectory

from health_pipeline.days import DayRange
from health_pipeline.errors import WarehouseError
from health_pipeline.tables.catalogue import SCHEMA, TABLES, VIEWS
from health_pipeline.tables.frames import as_arrow, as_frame
from health_pipeline.tables.tenant_health import TENANT_PROFILES, USAGE_METRICS
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.migrate import alembic_config, migrate
from health_pipeline.warehouse.retention import thin_feature_adoption
from health_pipeline.warehouse.writer import writing
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.support.databases import execute, query, value
from health_pipeline_tests.support.rows import fill
from health_pipeline_tests.support.warehouse import differences_to_declaration, usage

FIRST = date(2024, 3, 1)
DAYS = DayRange(FIRST, FIRST + timedelta(days=1))
CLOCK = datetime(2024, 3, 4, 2, tzinfo=UTC)
TABLE_KINDS = ("r", "p")
NEXT_DAY = FIRST + timedelta(days=2)


def relations(url: str, *kinds: str) -> set[str]:
    rows = query(
        url,
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind = ANY (%s)"
        " AND NOT relispartition",
        SCHEMA,
        list(kinds),
    )
    return {row["relname"] for row in rows}


def applied_at(url: str) -> list[dict[str, Any]]:
    return query(url, f"SELECT view_name, applied_at FROM {SCHEMA}.view_definitions ORDER BY 1")


def test_migrations_give_the_declared_tables(warehouse: str) -> None:
    with sql_connection(warehouse) as connection:
        assert differences_to_declaration(connection) == []
    assert relations(warehouse, *TABLE_KINDS) == {*TABLES, "alembic_version"}
    assert relations(warehouse, "v") == set(VIEWS)


def test_the_comparison_sees_a_changed_comment_and_a_missing_column(warehouse: str) -> None:
    execute(warehouse, f"COMMENT ON COLUMN {SCHEMA}.usage_metrics.api_calls IS 'something else'")
    with sql_connection(warehouse) as connection:
        assert len(differences_to_declaration(connection)) == 1
    execute(warehouse, f"ALTER TABLE {SCHEMA}.quarantined_rows DROP COLUMN run_id")
    with sql_connection(warehouse) as connection:
        assert len(differences_to_declaration(connection)) == 2


def test_migrating_again_changes_nothing(warehouse: str) -> None:
    before = applied_at(warehouse)
    migrate(warehouse)
    assert applied_at(warehouse) == before


def test_a_changed_view_is_recreated(warehouse: str) -> None:
    execute(
        warehouse,
        f"UPDATE {SCHEMA}.view_definitions SET definition_hash = 'old' WHERE view_name = 'tenant_health_trends'",
    )
    execute(
        warehouse, f"DROP VIEW {SCHEMA}.tenant_health_trends", f"CREATE VIEW {SCHEMA}.tenant_health_trends AS SELECT 1"
    )
    migrate(warehouse)
    assert relations(warehouse, "v") == set(VIEWS)
    assert query(warehouse, f"SELECT tenant_id, change_90d FROM {SCHEMA}.tenant_health_trends") == []


def test_somebody_elses_view_on_ours_is_not_dropped(warehouse: str) -> None:
    execute(
        warehouse,
        f"CREATE VIEW public.mine AS SELECT * FROM {SCHEMA}.tenant_health_trends",
        f"UPDATE {SCHEMA}.view_definitions SET definition_hash = 'old'",
    )
    with pytest.raises(WarehouseError, match=r"can't be migrated: .*mine") as error:
        migrate(warehouse)
    assert "\n" not in str(error.value)
    assert query(warehouse, "SELECT * FROM public.mine") == []


def test_two_migrate_at_once(new_database: NewDatabase) -> None:
    for _ in range(2):
        url = new_database()
        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(migrate, url) for _ in range(3)]:
                done.result()
        with sql_connection(url) as connection:
            assert differences_to_declaration(connection) == []
        assert relations(url, "v") == set(VIEWS)


def test_down_to_nothing_and_up_again(warehouse: str) -> None:
    with sql_connection(warehouse) as connection:
        for name in VIEWS:
            connection.execute(sa.text(f"DROP VIEW IF EXISTS {SCHEMA}.{name} CASCADE"))
        command.downgrade(alembic_config(connection), "base")
    assert relations(warehouse, *TABLE_KINDS) == {"alembic_version"}
    migrate(warehouse)
    with sql_connection(warehouse) as connection:
        assert differences_to_declaration(connection) == []
    assert relations(warehouse, "v") == set(VIEWS)


def test_every_migration_can_be_taken_back_alone(new_database: NewDatabase) -> None:
    url = new_database()
    with sql_connection(url) as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {SCHEMA}"))
        config = alembic_config(connection)
        revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
        for revision in reversed(revisions):
            command.upgrade(config, revision)
            command.downgrade(config, "-1")
            command.upgrade(config, revision)
        assert differences_to_declaration(connection) == []


def test_a_warehouse_that_is_newer_is_refused(warehouse: str) -> None:
    execute(warehouse, f"UPDATE {SCHEMA}.alembic_version SET version_num = '9999'")
    with pytest.raises(WarehouseError, match=r"can't be migrated: .*9999.* newer") as error:
        migrate(warehouse)
    assert "\n" not in str(error.value)
    assert relations(warehouse, "v") == set(VIEWS)


def stored_marks(url: str) -> list[tuple[date, int, int]]:
    """Day, mark and number of rows."""
    rows = query(
        url, "SELECT metric_date, api_calls, count(*) AS rows FROM health.usage_metrics GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return [(row["metric_date"], row["api_calls"], row["rows"]) for row in rows]


def whole(mark: int, tenants: int = 3) -> list[tuple[date, int, int]]:
    return [(day, mark, tenants) for day in DAYS]


def write(url: str, mark: int, tenants: int = 3) -> None:
    with writing(url, [USAGE_METRICS], "run", CLOCK) as writer:
        writer.replace(USAGE_METRICS, DAYS, [usage(mark, DAYS, tenants)])


def test_a_range_is_replaced_and_other_days_stay(warehouse: str) -> None:
    with writing(warehouse, [USAGE_METRICS], "run", CLOCK) as writer:
        everything = DayRange(FIRST, NEXT_DAY)
        writer.replace(USAGE_METRICS, everything, [usage(1, everything, 5)])
    write(warehouse, 2)
    assert stored_marks(warehouse) == [*whole(2), (NEXT_DAY, 1, 5)]


def places(url: str) -> dict[tuple[date, str], str]:
    """Where each row lies: another place after a write means that it was written anew."""
    rows = query(url, "SELECT metric_date, tenant_id, tableoid || ctid::text AS place FROM health.usage_metrics")
    return {(row["metric_date"], row["tenant_id"]): row["place"] for row in rows}


def test_rows_that_are_the_same_are_not_written_anew(warehouse: str) -> None:
    write(warehouse, 1, 5)
    before = places(warehouse)
    changed = usage(1, DAYS, 6).to_pandas()
    changed.loc[(changed["tenant_id"] == "t2") & (changed["metric_date"] == DAYS.last), "api_calls"] = 9
    changed = changed[changed["tenant_id"] != "t4"]
    with writing(warehouse, [USAGE_METRICS], "again", CLOCK) as writer:
        writer.replace(USAGE_METRICS, DAYS, [as_arrow(USAGE_METRICS, as_frame(USAGE_METRICS, changed))])
    after = places(warehouse)
    new = {(day, "t5") for day in DAYS}
    assert after.keys() == before.keys() - {(day, "t4") for day in DAYS} | new
    assert {key for key in after if after[key] != before.get(key)} == new | {(DAYS.last, "t2")}
    assert query(warehouse, "SELECT metric_date FROM health.usage_metrics WHERE api_calls = 9") == [
        {"metric_date": DAYS.last}
    ]


def test_rows_of_before_the_months_stay(new_database: NewDatabase) -> None:
    url = new_database()
    with sql_connection(url) as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {SCHEMA}"))
        command.upgrade(alembic_config(connection), "0003")
    counts = {column.name: 7 for column in USAGE_METRICS.columns if column.name not in USAGE_METRICS.key}
    for day in (date(2023, 12, 31), date(2024, 1, 1), date(2024, 2, 29)):
        row = json.dumps({**counts, "metric_date": day.isoformat(), "tenant_id": "t"})
        execute(
            url,
            f"INSERT INTO {SCHEMA}.usage_metrics SELECT * FROM jsonb_populate_record(NULL::{SCHEMA}.usage_metrics, '{row}')",
        )
    migrate(url)
    assert stored_marks(url) == [(day, 7, 1) for day in (date(2023, 12, 31), date(2024, 1, 1), date(2024, 2, 29))]
    with sql_connection(url) as connection:
        assert differences_to_declaration(connection) == []
    write(url, 1)
    assert stored_marks(url)[-2:] == whole(1)


def test_several_batches_and_none_are_written(warehouse: str) -> None:
    with writing(warehouse, [USAGE_METRICS], "run", CLOCK) as writer:
        pieces = [usage(1, piece) for piece in DAYS.chunks(1)]
        writer.replace(USAGE_METRICS, DAYS, pieces)
    assert stored_marks(warehouse) == whole(1)
    with writing(warehouse, [USAGE_METRICS], "run", CLOCK) as writer:
        writer.replace(USAGE_METRICS, DAYS, [])
    assert stored_marks(warehouse) == []


def test_an_error_in_the_middle_leaves_the_old_rows(warehouse: str) -> None:
    write(warehouse, 1)

    def breaking() -> Iterator[pa.Table]:
        yield usage(2, DAYS)
        raise RuntimeError("computed wrong")

    with (
        pytest.raises(Exception, match="computed wrong"),
        writing(warehouse, [USAGE_METRICS], "run", CLOCK) as writer,
    ):
        writer.replace(USAGE_METRICS, DAYS, breaking())
    assert stored_marks(warehouse) == whole(1)


def test_tables_of_one_run_are_committed_together(warehouse: str) -> None:
    write(warehouse, 1)

    def write_one_of_two() -> None:
        with writing(warehouse, [TENANT_PROFILES, USAGE_METRICS], "run", CLOCK) as writer:
            writer.replace(USAGE_METRICS, DAYS, [usage(2, DAYS)])
            raise RuntimeError("the second table failed")

    with pytest.raises(RuntimeError, match="the second table failed"):
        write_one_of_two()
    assert stored_marks(warehouse) == whole(1)


def test_readers_see_the_old_rows_or_the_new_ones_and_a_second_writer_waits(warehouse: str) -> None:
    write(warehouse, 1)
    is_half_written, may_go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[pa.Table]:
        yield usage(2, DayRange(FIRST, FIRST))
        is_half_written.set()
        assert may_go_on.wait(20)
        yield usage(2, DayRange(DAYS.last, DAYS.last))

    def write_slowly() -> None:
        with writing(warehouse, [USAGE_METRICS], "run", CLOCK) as writer:
            writer.replace(USAGE_METRICS, DAYS, slow())

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(write_slowly)
        assert is_half_written.wait(20)
        assert stored_marks(warehouse) == whole(1)
        second = pool.submit(write, warehouse, 3, 4)
        wait_for_lock(warehouse)
        assert stored_marks(warehouse) == whole(1)
        assert not second.done()
        may_go_on.set()
        first.result(20)
        second.result(20)
    assert stored_marks(warehouse) == whole(3, 4)


def wait_for_lock(url: str) -> None:
    """Until somebody in the database waits for an advisory lock."""
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    for _ in range(400):
        if value(url, waiting):
            return
        threading.Event().wait(0.025)
    raise AssertionError("nobody waits for a lock")


def test_many_writers_at_once_leave_one_whole_range(warehouse: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(write, warehouse, mark, mark) for mark in range(1, 13)]:
            done.result()
    ((_, mark, rows), _) = stored_marks(warehouse)
    assert rows == mark
    assert stored_marks(warehouse) == whole(mark, mark)


def test_writers_of_tables_in_different_orders_dont_block_each_other_for_good(warehouse: str) -> None:
    def both(tables: list[Any]) -> None:
        for _ in range(10):
            with writing(warehouse, tables, "run", CLOCK) as writer:
                writer.replace(USAGE_METRICS, DAYS, [usage(1, DAYS)])

    orders = [[TENANT_PROFILES, USAGE_METRICS], [USAGE_METRICS, TENANT_PROFILES]]
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(both, order) for order in orders]:
            done.result(60)
    assert stored_marks(warehouse) == whole(1)


def test_a_killed_connection_leaves_the_old_rows(warehouse: str) -> None:
    write(warehouse, 1)

    def killed() -> Iterator[pa.Table]:
        yield usage(2, DAYS)
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        query(warehouse, others + " AND pid <> pg_backend_pid()")
        yield usage(2, DAYS)

    def write_until_killed() -> None:
        with writing(warehouse, [USAGE_METRICS], "run", CLOCK) as writer:
            writer.replace(USAGE_METRICS, DAYS, killed())

    with pytest.raises(dbapi.Error, match=r"(?i)terminat|closed|connection"):
        write_until_killed()
    assert stored_marks(warehouse) == whole(1)


def test_an_unreachable_warehouse_is_told_in_one_line() -> None:
    url = "postgresql://me:topsecret@127.0.0.1:1/none"
    for connect in (lambda: migrate(url), lambda: write(url, 1)):
        with pytest.raises(WarehouseError, match="HEALTH_WAREHOUSE_URL") as error:
            connect()
        assert "\n" not in str(error.value)
        assert "topsecret" not in str(error.value)


def adoption_days(url: str) -> list[date]:
    return [
        row["day"] for row in query(url, "SELECT DISTINCT metric_date AS day FROM health.feature_adoption ORDER BY 1")
    ]


def test_old_months_of_adoption_keep_their_last_day(warehouse: str) -> None:
    everything = DayRange(date(2023, 12, 30), date(2024, 3, 31))
    fill(
        warehouse,
        "feature_adoption",
        *({"metric_date": day, "tenant_id": f"t{n}", "feature_key": "f"} for day in everything for n in range(2)),
    )
    newest = date(2024, 3, 31)
    # The first of February is 59 days before the newest.
    assert thin_feature_adoption(warehouse, 60, newest) == 2
    assert adoption_days(warehouse) == [date(2023, 12, 31), *DayRange(date(2024, 1, 1), newest)]
    assert thin_feature_adoption(warehouse, 59, newest) == 2 * 30
    assert adoption_days(warehouse) == [date(2023, 12, 31), date(2024, 1, 31), *DayRange(date(2024, 2, 1), newest)]
    assert thin_feature_adoption(warehouse, 59, newest) == 0
