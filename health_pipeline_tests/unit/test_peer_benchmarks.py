"""Peer benchmarks: figures worked by hand, bands' edges, and agreement with a naive computation tenant by tenant."""

from __future__ import annotations

import random
from collections import defaultdict
from fractions import Fraction
from itertools import product
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from health_pipeline.scoring.peer_benchmarks import FIGURES, PeerRules, SizeBand, employee_band, peer_tables
from health_pipeline.scoring.suppression import suppressed_cohorts
from health_pipeline.tables.tenant_health import PEER_BENCHMARKS, PEER_METRICS, TENANT_PEER_RANKS

BANDS = (
    SizeBand("1-49", 1, 49),
    SizeBand("50-249", 50, 249),
    SizeBand("250-999", 250, 999),
    SizeBand("1000-4999", 1000, 4999),
    SizeBand("5000+", 5000, None),
)
RULES = PeerRules(BANDS, min_peers=5, min_peers_for_extremes=10)
DAY = "2024-03-01"
KEY = list(PEER_BENCHMARKS.key)


def tenants(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The input frame; a metric that a row does not name is not measured."""
    names = ["metric_date", "tenant_id", "industry_sector", "employee_count", *PEER_METRICS]
    types = dict.fromkeys(names, "Int64") | {
        "metric_date": "datetime64[us]",
        "tenant_id": "str",
        "industry_sector": "str",
        "active_user_ratio": "Float64",
    }
    return pd.DataFrame(rows, columns=names).astype(types)


def same_sector(scores: list[int | None], sector: str | None = "Retail", size: int | None = 10) -> list[dict[str, Any]]:
    """A tenant per overall_score."""
    return [
        {
            "metric_date": DAY,
            "tenant_id": f"{sector}-{size}-{n}",
            "industry_sector": sector,
            "employee_count": size,
            "overall_score": score,
        }
        for n, score in enumerate(scores)
    ]


def benchmarks(frame: pd.DataFrame, rules: PeerRules) -> pd.DataFrame:
    return peer_tables(frame, rules).benchmarks


def ranks(rows: list[dict[str, Any]], rules: PeerRules = RULES) -> dict[str, tuple[int | None, float | None]]:
    """The cohort of overall_score and the rank in it, by tenant."""
    found = peer_tables(tenants(rows), rules).ranks.set_index("tenant_id")[
        ["overall_score_cohort", "overall_score_rank"]
    ]
    assert len(found) == len(rows)
    return {
        str(tenant): tuple(None if pd.isna(value) else value for value in values)
        for tenant, *values in found.itertuples(name=None)
    }


def row(rows: pd.DataFrame, sector: str, band: str, metric: str = "overall_score") -> pd.Series:
    found = rows[
        (rows["industry_sector"] == sector) & (rows["employee_band"] == band) & (rows["metric_name"] == metric)
    ]
    assert len(found) == 1
    return found.iloc[0]


def test_figures_by_hand() -> None:
    rows = benchmarks(tenants(same_sector([90, 10, 40, 20, 30, 100, 70, 50, 80, 61])), RULES)
    cohort = row(rows, "Retail", "1-49")
    assert cohort["peer_count"] == 10
    assert [cohort[name] for name in FIGURES] == [32.5, 55.5, 77.5, 55.1, 10.0, 100.0]
    assert (cohort["employee_min"], cohort["employee_max"]) == (1, 49)
    assert not cohort["is_suppressed"]


@pytest.mark.parametrize(
    ("peers", "published", "extremes"), [(4, False, False), (5, True, False), (9, True, False), (10, True, True)]
)
def test_sizes_at_the_limits(peers: int, published: bool, extremes: bool) -> None:
    cohort = row(benchmarks(tenants(same_sector(list(range(peers)))), RULES), "Retail", "ALL")
    assert cohort["is_suppressed"] == (not published)
    assert cohort[["peer_count", "p25", "median", "p75", "mean"]].notna().all() == published
    assert cohort[["peer_count", "p25", "median", "p75", "mean"]].notna().any() == published
    assert cohort[["min_value", "max_value"]].notna().all() == extremes
    assert cohort[["min_value", "max_value"]].notna().any() == extremes


def test_all_seven_metrics_of_every_cohort_with_a_tenant() -> None:
    rows = benchmarks(tenants([*same_sector([50] * 6), *same_sector([None], "Energy", 5000)]), RULES)
    cohorts = {("ALL", "ALL"), ("ALL", "1-49"), ("ALL", "5000+"), ("Retail", "ALL"), ("Retail", "1-49")}
    cohorts |= {("Energy", "ALL"), ("Energy", "5000+")}
    expected = [(DAY, metric, *cohort) for metric in sorted(PEER_METRICS) for cohort in sorted(cohorts)]
    found = rows[KEY].assign(metric_date=rows["metric_date"].dt.strftime("%Y-%m-%d"))
    assert list(found.itertuples(index=False, name=None)) == expected
    open_ended = row(rows, "Energy", "5000+")
    assert open_ended["employee_min"] == 5000
    assert pd.isna(open_ended["employee_max"])
    assert pd.isna(row(rows, "Energy", "ALL")[["employee_min", "employee_max"]]).all()


def test_a_metric_that_nobody_has_is_suppressed_throughout() -> None:
    rows = benchmarks(tenants(same_sector([50] * 12)), RULES)
    unmeasured = rows[rows["metric_name"] == "login_score"]
    assert len(unmeasured) == 4
    assert unmeasured["is_suppressed"].all()
    assert unmeasured[["peer_count", *FIGURES]].isna().all(axis=None)


def test_unknown_sector_or_size_counts_under_all_in_that_dimension_only() -> None:
    rows = benchmarks(
        tenants([*same_sector([10] * 5), *same_sector([20] * 6, None), *same_sector([30] * 7, "Retail", None)]), RULES
    )
    counts = rows[rows["metric_name"] == "overall_score"].set_index(["industry_sector", "employee_band"])["peer_count"]
    assert counts.to_dict() == {("ALL", "1-49"): 11, ("ALL", "ALL"): 18, ("Retail", "1-49"): 5, ("Retail", "ALL"): 12}


def test_a_suppressed_row_carries_no_figure_and_keeps_its_band() -> None:
    rows = benchmarks(tenants([*same_sector([10] * 10), *same_sector([20] * 4, "Energy")]), RULES)
    recoverable = row(rows, "Retail", "1-49")
    assert recoverable["is_suppressed"]
    assert recoverable[["peer_count", *FIGURES]].isna().all()
    assert (recoverable["employee_min"], recoverable["employee_max"]) == (1, 49)
    assert row(rows, "ALL", "1-49")["peer_count"] == 14


def test_a_mean_is_not_off_by_rounding_every_sum() -> None:
    rows = same_sector([1] * 10)
    frame = tenants([fields | {"active_user_ratio": 0.1 if n < 6 else 0.2} for n, fields in enumerate(rows)])
    assert row(benchmarks(frame, RULES), "Retail", "ALL", "active_user_ratio")["mean"] == 0.14


def test_a_mean_of_equal_values_is_that_value() -> None:
    ratio = 0.29062346588119786  # fsum of 59 of them / 59 is above it
    frame = tenants([{**fields, "active_user_ratio": ratio} for fields in same_sector([1] * 59)])
    cohort = row(benchmarks(frame, RULES), "Retail", "ALL", "active_user_ratio")
    assert [cohort[name] for name in FIGURES] == [ratio] * 6


def test_ranks_by_hand() -> None:
    found = ranks(same_sector([10, 20, 20, 30, 40, 50, None]))
    expected = [0.0, 30.0, 30.0, 60.0, 80.0, 100.0, None]  # 20: one below, one beside: 1.5 of 5
    assert found == {f"Retail-10-{n}": (None if rank is None else 3, rank) for n, rank in enumerate(expected)}


def test_the_narrowest_published_cohort_counts() -> None:
    rows = [
        *same_sector([10, 20, 30, 40, 50], "Retail", 10),
        *same_sector([5, 15, 25, 35, 45], "Retail", 60),
        *same_sector([0, 1, 2, 3, 4], "Energy", 60),
        *same_sector([1, 100], "Energy", None),
        *same_sector([60], None, 60),
        *same_sector([70], None, None),
    ]
    found = ranks(rows, PeerRules(BANDS, min_peers=1, min_peers_for_extremes=1))
    narrowest = {tenant.rpartition("-")[0]: cohort for tenant, (cohort, _) in found.items()}
    assert narrowest == {"Retail-10": 3, "Retail-60": 3, "Energy-60": 3, "Energy-None": 2, "None-60": 1, "None-None": 0}
    # Whoever has a narrower cohort of its own counts among the peers of a wider one all the same.
    assert found["Energy-None-1"] == (2, 100.0)
    assert found["Energy-None-0"] == (2, 100 * 1.5 / 6)
    assert found["None-60-0"] == (1, 100.0)


def test_of_equally_large_cohorts_the_one_that_is_split_more_counts() -> None:
    assert set(ranks(same_sector([1, 2, 3, 4, 5]))["Retail-10-0"]) == {3, 0.0}
    assert set(ranks(same_sector([1, 2, 3, 4, 5], None))["None-10-0"]) == {1, 0.0}
    assert set(ranks(same_sector([1, 2, 3, 4, 5], "Retail", None))["Retail-None-0"]) == {2, 0.0}


def test_alone_in_a_published_cohort_there_is_no_rank() -> None:
    assert ranks(same_sector([50]), PeerRules(BANDS, 1, 1)) == {"Retail-10-0": (3, None)}


def test_no_published_cohort_no_rank() -> None:
    assert set(ranks(same_sector([10, 20, 30, 40])).values()) == {(None, None)}


def test_band_edges() -> None:
    sizes = pd.Series([1, 49, 50, 249, 250, 999, 1000, 4999, 5000, 10**9, pd.NA], dtype="Int64", index=range(5, 16))
    names = employee_band(sizes, BANDS)
    expected = [band.name for band in BANDS for _ in range(2)]
    assert names.tolist()[:-1] == expected
    assert pd.isna(names.iloc[-1])
    assert names.index.equals(sizes.index)
    assert names.dtype == "str"
    assert pd.isna(employee_band(pd.Series([49], dtype="Int64"), BANDS[1:]).iloc[0])


def test_no_tenant_no_row() -> None:
    rows = benchmarks(tenants([]), RULES)
    some = benchmarks(tenants(same_sector([1] * 5)), RULES)
    assert_frame_equal(rows, some.iloc[:0].reset_index(drop=True))
    assert list(rows.columns) == PEER_BENCHMARKS.column_names
    nobody = peer_tables(tenants([]), RULES).ranks
    assert len(nobody) == 0
    assert set(nobody.columns) == set(TENANT_PEER_RANKS.column_names)


@st.composite
def histories(draw: st.DrawFn) -> pd.DataFrame:
    """One to three days of up to 40 tenants in a few sectors and sizes; some come, go, or have no value."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    sectors: list[str | None] = chance.choice(
        [["Retail", None], ["Retail", "Energy", "élan", None], ["Z", "a", "B", "c"]]
    )
    sizes: list[int | None] = chance.choice([[10, 49, 50], [10, 60, None], [1, 300, 1200, 9000, None]])
    people: list[dict[str, Any]] = [
        {"tenant_id": f"t{n}", "industry_sector": chance.choice(sectors), "employee_count": chance.choice(sizes)}
        for n in range(draw(st.integers(1, 40)))
    ]
    rows = []
    for day, one in product(range(1, draw(st.integers(2, 4))), people):
        if chance.random() < 0.9:
            scores = {name: chance.choice([chance.randint(0, 100), 70, None]) for name in PEER_METRICS}
            always = {"overall_score": chance.randint(0, 100), "active_user_ratio": chance.randint(0, 9) / 9}
            rows.append({"metric_date": f"2024-02-{day:02}"} | one | scores | always)
    return tenants(rows)


def fraction_at(values: list[Fraction], quarters: int) -> Fraction:
    """The quantile quarters / 4 of sorted values, interpolated linearly."""
    place = Fraction(quarters * (len(values) - 1), 4)
    below = place.numerator // place.denominator
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def band_name(size: int | None, bands: tuple[SizeBand, ...]) -> str | None:
    return next((b.name for b in bands if size and b.employee_min <= size <= (b.employee_max or size)), None)


def naive_rows(frame: pd.DataFrame, rules: PeerRules) -> dict[tuple[Any, ...], list[Any]]:
    """Key -> [peer_count, *FIGURES] of published rows, [] of suppressed ones."""
    bands = [band.name for band in rules.size_bands]
    result: dict[tuple[Any, ...], list[Any]] = {}
    for (day, at_day), metric in product(frame.groupby("metric_date"), PEER_METRICS):
        people = [
            (None if pd.isna(sector) else sector, band_name(None if pd.isna(size) else size, rules.size_bands), value)
            for sector, size, value in zip(
                at_day["industry_sector"], at_day["employee_count"], at_day[metric], strict=True
            )
        ]
        sectors = sorted({sector for sector, _, _ in people if sector})
        values_in: dict[tuple[str | None, str | None], list[Fraction]] = defaultdict(list)
        for sector, band, value in people:
            for cohort in {(sector, band), (sector, "ALL"), ("ALL", band), ("ALL", "ALL")}:
                values_in[cohort] += [] if pd.isna(value) else [Fraction(value)]
        cells = tuple(
            tuple(len(values_in[s, b]) if (s, b) in values_in else None for b in [*bands, None])
            for s in [*sectors, None]
        )
        hidden = suppressed_cohorts(cells, rules.min_peers)
        for (s, sector), (b, band) in product(enumerate([*sectors, "ALL"]), enumerate([*bands, "ALL"])):
            if (sector, band) in values_in:
                shown = [] if hidden[s][b] else figures(sorted(values_in[sector, band]), rules)
                result[day, metric, sector, band] = shown
    return result


def figures(values: list[Fraction], rules: PeerRules) -> list[Any]:
    quartiles = [float(fraction_at(values, quarters)) for quarters in (1, 2, 3)]
    extremes = [float(values[0]), float(values[-1])] if len(values) >= rules.min_peers_for_extremes else [None, None]
    return [len(values), *quartiles, float(sum(values) / len(values)), *extremes]


@settings(max_examples=25, deadline=None)
@given(histories(), st.sampled_from([RULES, PeerRules(BANDS, 3, 4)]))
def test_agrees_with_a_naive_computation(frame: pd.DataFrame, rules: PeerRules) -> None:
    rows = benchmarks(frame, rules)
    expected = naive_rows(frame, rules)
    assert list(rows[KEY].itertuples(index=False, name=None)) == sorted(expected)
    for found in rows.to_dict("records"):
        values = expected[tuple(found[name] for name in KEY)]
        assert found["is_suppressed"] == (not values)
        for name, value in zip(["peer_count", *FIGURES], values or [None] * 7, strict=True):
            assert pd.isna(found[name]) if value is None else found[name] == pytest.approx(value, rel=1e-14), name


@settings(max_examples=25, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_a_range_is_its_days_in_any_order_of_rows(frame: pd.DataFrame, chance: random.Random) -> None:
    def computed(given: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        found = peer_tables(given, RULES)
        return found.benchmarks, found.ranks.sort_values(["metric_date", "tenant_id"], ignore_index=True)

    whole = computed(frame)
    shuffled = computed(frame.iloc[chance.sample(range(len(frame)), len(frame))])
    days = [computed(frame[frame["metric_date"] == day]) for day in sorted(frame["metric_date"].unique())]
    for table, expected in enumerate(whole):
        assert_frame_equal(shuffled[table], expected, check_exact=True)
        parts = [day[table] for day in days]
        assert_frame_equal(pd.concat(parts, ignore_index=True) if parts else expected, expected, check_exact=True)
