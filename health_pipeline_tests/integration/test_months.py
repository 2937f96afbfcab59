"""New months: filled before they are partitions, by the transaction that has their rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest

from health_pipeline.days import DayRange
from health_pipeline.tables.tenant_health import USAGE_METRICS
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.migrate import migrate
from health_pipeline.warehouse.months import make_months
from health_pipeline.warehouse.writer import writing
from health_pipeline_tests.support.databases import connected, execute, query, value
from health_pipeline_tests.support.warehouse import differences_to_declaration, usage

ACROSS = DayRange(date(2023, 11, 29), date(2024, 2, 2))
CLOCK = datetime(2024, 3, 4, 2, tzinfo=UTC)


def write(url: str, days: DayRange, *pieces: DayRange, mark: int = 1) -> None:
    with writing(url, [USAGE_METRICS], "run", CLOCK) as writer:
        writer.replace(USAGE_METRICS, days, [usage(mark, piece) for piece in pieces])


def months(url: str) -> list[str]:
    rows = query(
        url,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'usage\\_metrics%%' ORDER BY 1",
    )
    return [row["relname"].removeprefix("usage_metrics_") for row in rows]


def marks(url: str) -> dict[tuple[date, int], int]:
    """How many rows there are by day and mark."""
    rows = query(url, "SELECT metric_date, api_calls, count(*) AS rows FROM health.usage_metrics GROUP BY 1, 2")
    return {(row["metric_date"], row["api_calls"]): row["rows"] for row in rows}


def indexes(url: str, month: str) -> set[str]:
    rows = query(
        url,
        "SELECT regexp_replace(indexdef, '.* USING ', '') AS what FROM pg_indexes WHERE tablename = %s",
        f"usage_metrics_{month}",
    )
    return {row["what"] for row in rows}


def test_months_are_made_by_the_run_that_first_writes_to_them(warehouse: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(write, warehouse, ACROSS, ACROSS) for _ in range(3)]:
            done.result()
    assert months(warehouse) == ["2023_11", "2023_12", "2024_01", "2024_02"]
    assert marks(warehouse) == {(day, 1): 3 for day in ACROSS}
    assert all(
        indexes(warehouse, month) == {"btree (metric_date, tenant_id)", "btree (tenant_id, metric_date)"}
        for month in months(warehouse)
    )
    migrate(warehouse)
    with sql_connection(warehouse) as connection:
        assert differences_to_declaration(connection) == []


def test_months_that_are_there_and_new_ones_are_written_together(warehouse: str) -> None:
    december, january = date(2023, 12, 1), date(2024, 1, 31)
    write(warehouse, DayRange(december, december), DayRange(december, december), mark=7)
    write(warehouse, DayRange(january, january), DayRange(january, january), mark=7)
    # In pieces that begin and end within months, and with days that have no rows any more.
    pieces = list(DayRange(date(2023, 12, 2), ACROSS.last).chunks(20))
    write(warehouse, ACROSS, *pieces, mark=2)
    assert marks(warehouse) == {(day, 2): 3 for day in ACROSS if day > december}
    assert months(warehouse) == ["2023_11", "2023_12", "2024_01", "2024_02"]
    make_months(warehouse, [USAGE_METRICS], ACROSS)
    assert marks(warehouse) == {(day, 2): 3 for day in ACROSS if day > december}


def test_months_without_rows_are_made_too(warehouse: str) -> None:
    write(warehouse, ACROSS)
    assert months(warehouse) == ["2023_11", "2023_12", "2024_01", "2024_02"]
    assert marks(warehouse) == {}


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (
            [DayRange(date(2024, 1, 1), date(2024, 1, 2)), DayRange(date(2023, 12, 1), date(2023, 12, 2))],
            "in the order",
        ),
        ([DayRange(date(2024, 2, 2), date(2024, 2, 3))], "3 rows of usage_metrics are of days that aren't written"),
    ],
)
def test_rows_of_other_days_or_out_of_order_are_refused(warehouse: str, pieces: list[DayRange], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write(warehouse, ACROSS, *pieces)
    assert months(warehouse) == []


def test_nobody_waits_for_a_new_month_and_none_is_left_of_a_killed_run(warehouse: str) -> None:
    november = DayRange(ACROSS.first, ACROSS.first)
    write(warehouse, november, november)

    def write_and_fail() -> None:
        with writing(warehouse, [USAGE_METRICS], "run", CLOCK) as writer:
            writer.replace(USAGE_METRICS, ACROSS, [usage(2, ACROSS)])
            # It is a partition now, as far as the run sees; others read and write what was there before.
            with connected(warehouse) as cursor:
                cursor.execute("SET LOCAL lock_timeout = '2s'")
                cursor.execute("SELECT count(*) AS rows FROM health.usage_metrics WHERE metric_date > '2023-11-01'")
                assert cursor.fetchall() == [{"rows": 3}]
                cursor.execute("UPDATE health.usage_metrics SET api_calls = 5 WHERE metric_date < '2023-11-01'")
            execute(warehouse, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            writer.replace(USAGE_METRICS, ACROSS, [usage(3, ACROSS)])

    with pytest.raises(Exception, match=r"terminat|closed|connection"):
        write_and_fail()
    assert months(warehouse) == ["2023_11"]
    assert marks(warehouse) == {(ACROSS.first, 1): 3}
    write(warehouse, ACROSS, ACROSS, mark=4)
    assert marks(warehouse) == {(day, 4): 3 for day in ACROSS}
    assert value(warehouse, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'health.usage_metrics'::regclass") == 4
