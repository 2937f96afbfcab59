"""Declared tables as frames: types, validation before the write, and what a refusal tells."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from health_pipeline.errors import InvalidResult
from health_pipeline.tables.declare import Column, Table, Type, count, figure, instant, text
from health_pipeline.tables.frames import arrow_schema, as_arrow, as_frame, validated
from health_pipeline.tables.tenant_health import (
    FEATURE_ADOPTION,
    PEER_BENCHMARKS,
    TENANT_HEALTH_SCORES,
    TENANT_HEALTH_TABLES,
)

TABLE = Table(
    "visits",
    "A visit, for these tests.",
    ("metric_date", "tenant_id"),
    (
        Column("metric_date", Type.DATE, "The day."),
        text("tenant_id", "The tenant."),
        count("pages", "Pages."),
        count("clicks", "Clicks.", nullable=True),
        figure("share", "A share.", minimum=0, maximum=1),
        text("mood", "The mood.", nullable=True, one_of=("GOOD", "BAD")),
        Column("is_new", Type.BOOLEAN, "Whether it is new."),
        instant("seen_at", "When.", nullable=True),
    ),
    "tests",
)
ROW: dict[str, Any] = {
    "metric_date": date(2024, 2, 29),
    "tenant_id": "\U0001f680 'a'",
    "pages": 3,
    "clicks": None,
    "share": 0.5,
    "mood": None,
    "is_new": True,
    "seen_at": datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
}


def frame(*changes: dict[str, Any]) -> pd.DataFrame:
    """Rows like ROW, each with its changes and a tenant_id of its own unless it brings one."""
    rows = [{**ROW, "tenant_id": str(n), **change} for n, change in enumerate(changes or ({},))]
    return as_frame(TABLE, pd.DataFrame(rows))


def refusal(rows: pd.DataFrame, table: Table = TABLE) -> str:
    with pytest.raises(InvalidResult) as error:
        validated(table, rows)
    return str(error.value)


def test_good_rows_pass_unchanged() -> None:
    rows = frame({}, {"clicks": 0, "share": None, "mood": "BAD", "seen_at": None}, {"pages": 0, "share": 1.0})
    assert validated(TABLE, rows) is rows or validated(TABLE, rows).equals(rows)


def test_no_rows_pass() -> None:
    empty = as_frame(
        TABLE, pa.table({c.name: pa.array([], arrow_schema(TABLE).field(c.name).type) for c in TABLE.columns})
    )
    assert len(validated(TABLE, empty)) == 0
    assert as_arrow(TABLE, empty).num_rows == 0


@pytest.mark.parametrize("table", TENANT_HEALTH_TABLES, ids=lambda table: table.name)
def test_a_frame_from_arrow_has_the_types_that_validation_wants(table: Table) -> None:
    empty = arrow_schema(table).empty_table()
    assert len(validated(table, as_frame(table, empty))) == 0


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"pages": -1}, "pages"),
        ({"pages": None}, "pages"),
        ({"clicks": -1}, "clicks"),
        ({"share": 1.000001}, "share"),
        ({"share": -0.000001}, "share"),
        ({"share": float("inf")}, "share"),
        ({"mood": "good"}, "mood"),
        ({"mood": ""}, "mood"),
        ({"metric_date": None}, "metric_date"),
        ({"tenant_id": None}, "tenant_id"),
    ],
)
def test_a_wrong_value_is_refused_by_column(change: dict[str, Any], column: str) -> None:
    message = refusal(frame({}, change))
    assert message.startswith("visits: computed rows break the table's declaration; ")
    assert f"{column}: " in message
    assert "1 rows" in message


def test_a_key_that_comes_twice_is_refused() -> None:
    assert "tenant_id" in refusal(frame({"tenant_id": "same"}, {"tenant_id": "same"}))


def test_missing_surplus_and_disordered_columns_are_refused() -> None:
    assert "pages" in refusal(frame().drop(columns="pages"))
    assert "surplus" in refusal(frame().assign(surplus=1))
    assert "visits" in refusal(frame()[[*reversed(TABLE.column_names)]])


def test_a_refusal_counts_cases_and_shows_three() -> None:
    rows = frame(*({"pages": -n, "share": 2.0} for n in range(1, 1001)))
    message = refusal(rows)
    assert message.count("1000 rows") == 2
    assert "[-1.0, -2.0, -3.0]" in message
    assert "-4" not in message
    assert len(message) < 500


def scores(**changes: Any) -> pd.DataFrame:
    row: dict[str, Any] = {column.name: None for column in TENANT_HEALTH_SCORES.columns}
    row |= {
        "metric_date": date(2024, 2, 29),
        "tenant_id": "t",
        "coverage": 1.0,
        "trend": "STABLE",
        "policy_version": "v",
    }
    return as_frame(TENANT_HEALTH_SCORES, pd.DataFrame([{**row, **changes}]))


@pytest.mark.parametrize(
    "change",
    [
        {"login_score": 101},
        {"overall_score": -1},
        {"coverage": 1.1},
        {"coverage": None},
        {"score_change": 101},
        {"score_change": -101},
        {"trend": "RISING"},
        {"risk_level": "low"},
        {"alert_level": "LOUD"},
        {"policy_version": None},
    ],
)
def test_the_scores_table_refuses_what_no_score_can_be(change: dict[str, Any]) -> None:
    validated(TENANT_HEALTH_SCORES, scores())
    assert next(iter(change)) in refusal(scores(**change), TENANT_HEALTH_SCORES)


def test_values_survive_the_way_to_arrow_and_back() -> None:
    rows = frame({}, {"clicks": 2**40, "mood": "GOOD"})
    arrow = as_arrow(TABLE, rows)
    assert arrow.schema == arrow_schema(TABLE)
    assert arrow["clicks"].to_pylist() == [None, 2**40]
    assert arrow["metric_date"].to_pylist() == [date(2024, 2, 29)] * 2
    assert arrow["seen_at"].to_pylist() == [ROW["seen_at"]] * 2
    assert as_frame(TABLE, arrow).equals(rows)


def test_columns_are_brought_into_their_order_and_others_left_out() -> None:
    rows = pd.DataFrame([ROW | {"surplus": 1}])[["surplus", *reversed(TABLE.column_names)]]
    assert list(as_frame(TABLE, rows).columns) == TABLE.column_names
    assert (
        as_frame(TABLE, as_arrow(TABLE, frame()).append_column("surplus", [[1]])).columns.tolist() == TABLE.column_names
    )


def test_instants_without_a_zone_are_utc() -> None:
    naive = datetime(2024, 3, 10, 12)
    empty = arrow_schema(FEATURE_ADOPTION).empty_table()
    row: dict[str, Any] = {"metric_date": date(2024, 3, 10), "tenant_id": "t", "feature_key": "SSO", "category": "c"}
    row |= {"is_enabled": True, "is_adopted": True, "usage_count": 1, "usage_count_30d": 1}
    row |= {"first_used_at": naive, "last_used_at": None}
    types = {field.name: field.type for field in empty.schema} | {"first_used_at": pa.timestamp("us")}
    table = pa.table({name: pa.array([row[name]], types[name]) for name in FEATURE_ADOPTION.column_names})
    found = validated(FEATURE_ADOPTION, as_frame(FEATURE_ADOPTION, table))
    assert found["first_used_at"][0] == pd.Timestamp(naive, tz="UTC")
    assert found["last_used_at"][0] is pd.NaT


def test_a_suppressed_benchmark_may_lack_every_figure() -> None:
    row: dict[str, Any] = {column.name: None for column in PEER_BENCHMARKS.columns}
    row |= {"metric_date": date(2024, 2, 29), "metric_name": "login_score", "industry_sector": "ALL"}
    row |= {"employee_band": "ALL", "is_suppressed": True}
    assert len(validated(PEER_BENCHMARKS, as_frame(PEER_BENCHMARKS, pd.DataFrame([row])))) == 1
