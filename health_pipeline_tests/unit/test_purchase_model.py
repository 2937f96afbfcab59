"""The purchase model: published results, the definition integrated naively, and parameters found again in simulated orders."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date

import numpy as np
import pandas as pd
import pytest

from health_pipeline.scoring.purchase_model import (
    HISTORY,
    PARAMETERS,
    expected_orders,
    fitted_models,
    probability_alive,
)

# Fader, Hardie and Lee (2005), the parameters of BG/NBD for a sample of CDNOW's customers, time in weeks. With a history of
# repeat orders, MBG/NBD with b lowered by 1 is BG/NBD.
PUBLISHED = np.array([0.243, 4.414, 0.793, 2.426 - 1])
TYPICAL = np.array([0.6, 20.0, 0.8, 2.0])
SUNDAY = date(2024, 3, 3)


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_published_results() -> None:
    history = floats(2), floats(30.43), floats(38.86)
    assert probability_alive(PUBLISHED, *history)[0] == pytest.approx(0.7266, abs=5e-5)
    assert expected_orders(PUBLISHED, *history, horizon=39)[0] == pytest.approx(1.226, abs=5e-4)


def test_one_time_buyers_are_not_surely_alive() -> None:
    alive = probability_alive(TYPICAL, floats(0, 0, 0), floats(0, 0, 0), floats(0, 90, 900))
    # Right after the first order, what remains is the chance b / (a + b) of not dropping out by it.
    assert alive[0] == pytest.approx(2.0 / 2.8)
    assert alive[0] > alive[1] > alive[2] > 0


def _integrated(x: int, recency: float, age: float, horizon: float) -> tuple[float, float]:
    """P(alive) and the expected orders by Bayes' rule over a grid of rates and drop-out chances."""
    r, alpha, a, b = TYPICAL
    middles = (np.arange(1500) + 0.5) / 1500
    rate, chance = middles * 0.6, middles[:, None]
    prior = rate ** (r - 1) * np.exp(-alpha * rate) * chance ** (a - 1) * (1 - chance) ** (b - 1)
    staying = rate**x * (1 - chance) ** (x + 1) * np.exp(-rate * age)
    leaving = rate**x * (1 - chance) ** x * chance * np.exp(-rate * recency)
    all_told = (prior * (staying + leaving)).sum()
    coming = (1 - np.exp(-rate * chance * horizon)) / chance
    return float((prior * staying).sum() / all_told), float((prior * staying * coming).sum() / all_told)


@pytest.mark.parametrize(("x", "recency", "age"), [(3, 40, 60), (12, 100, 110), (5, 30, 300)])
def test_agrees_with_the_definition(x: int, recency: float, age: float) -> None:
    alive, coming = _integrated(x, recency, age, 90)
    history = floats(x), floats(recency), floats(age)
    assert probability_alive(TYPICAL, *history)[0] == pytest.approx(alive, rel=2e-3)
    assert expected_orders(TYPICAL, *history)[0] == pytest.approx(coming, rel=2e-3)


def test_extreme_histories_stay_finite_and_ordered() -> None:
    parameters = np.array(
        [[0.6, 0.1, 0.8, 1.0], [500, 4000.0, 0.002, 0.003], [3, 0.1, 300, 0.01], [0.001, 900, 5, 90]]
    ).T
    orders, recency, age = floats(0, 1000, 0, 2), floats(0, 1000, 0, 5000), floats(0, 1000, 0, 9000)
    alive, coming = (
        probability_alive(parameters, orders, recency, age),
        expected_orders(parameters, orders, recency, age),
    )
    assert ((alive >= 0) & (alive <= 1)).all()
    assert (np.isfinite(coming) & (coming >= 0)).all()
    # As good as sure to stay, and to order 1500 / 5000 times a day.
    assert coming[1] == pytest.approx(90 * 1500 / 5000, rel=0.01)


def test_without_parameters_or_history_nothing_is_told() -> None:
    parameters = np.array([[np.nan] * 4, TYPICAL, TYPICAL]).T
    history = floats(2, np.nan, 2), floats(9, np.nan, 9), floats(20, np.nan, 20)
    for told in (probability_alive(parameters, *history), expected_orders(parameters, *history)):
        assert np.isnan(told).tolist() == [True, True, False]


def simulated(seed: int, customers: int, parameters: np.ndarray, tenant_id: str = "t1") -> pd.DataFrame:
    """Histories of customers who behave as the model says, by whole days, observed for up to two years."""
    rng = np.random.default_rng(seed)
    r, alpha, a, b = parameters
    rows = []
    for rate, chance, age in zip(
        rng.gamma(r, 1 / alpha, customers), rng.beta(a, b, customers), rng.integers(200, 730, customers), strict=True
    ):
        days = {0, *(int(day) for day in _order_times(rng, rate, chance, float(age)))}
        rows.append((SUNDAY, tenant_id, len(days) - 1, max(days), age, 1))
    return pd.DataFrame(rows, columns=["model_date", "tenant_id", *HISTORY, "buyers"])


def _order_times(rng: np.random.Generator, rate: float, chance: float, age: float) -> Iterator[float]:
    time = 0.0
    while rng.random() >= chance:
        time += rng.exponential(1 / rate)
        if time > age:
            return
        yield time


def _log_likelihood(parameters: np.ndarray, histories: pd.DataFrame) -> float:
    """Of the histories, a row at a time, with the Gamma functions of the published formula."""
    r, alpha, a, b = parameters

    def log_beta(first: float, second: float) -> float:
        return math.lgamma(first) + math.lgamma(second) - math.lgamma(first + second)

    total = 0.0
    for x, recency, age, buyers in histories[[*HISTORY, "buyers"]].to_numpy(float):
        rates = math.lgamma(r + x) - math.lgamma(r) + r * math.log(alpha)
        staying = log_beta(a, b + x + 1) - log_beta(a, b) - (r + x) * math.log(alpha + age)
        leaving = log_beta(a + 1, b + x) - log_beta(a, b) - (r + x) * math.log(alpha + recency)
        total += buyers * (rates + math.log(math.exp(staying) + math.exp(leaving)))
    return total


def test_finds_the_parameters_again() -> None:
    histories = simulated(1, 4000, np.array([0.9, 30.0, 0.7, 3.0]))
    model = fitted_models(histories, 20).iloc[0]
    assert model["is_fitted"]
    assert model[PARAMETERS].to_numpy(float) == pytest.approx([0.9, 30.0, 0.7, 3.0], rel=0.15)
    assert model["buyers"] == 4000
    assert model["repeat_buyers"] == (histories["repeat_orders"] > 0).sum()


def test_nothing_near_is_likelier() -> None:
    histories = simulated(2, 300, np.array([0.9, 30.0, 0.7, 3.0]))
    model = fitted_models(histories, 20).iloc[0]
    found = model[PARAMETERS].to_numpy(float)
    best = _log_likelihood(found, histories)
    assert model["log_likelihood"] == pytest.approx(best, abs=1e-6)
    for number in range(4):
        for factor in (0.95, 1.05):
            other = found.copy()
            other[number] *= factor
            # The weak pull that keeps parameters finite moves the optimum by less than can be seen.
            assert _log_likelihood(other, histories) < best + 1e-4


def test_a_tenants_model_does_not_depend_on_others() -> None:
    mine, other = (
        simulated(3, 80, TYPICAL),
        simulated(4, 500, np.array([2.0, 90.0, 0.2, 2.0]), tenant_id="a tenant before"),
    )
    alone = fitted_models(mine, 20)
    mixed = pd.concat([mine, other], ignore_index=True)
    together = fitted_models(mixed, 20)
    assert alone.iloc[0].to_dict() == together[together["tenant_id"] == "t1"].iloc[0].to_dict()


def test_counted_histories_are_as_good_as_single_ones() -> None:
    histories = simulated(5, 200, TYPICAL)
    counted = histories.groupby(["model_date", "tenant_id", *HISTORY], as_index=False).agg(buyers=("buyers", "sum"))
    assert len(counted) < len(histories)
    one, other = (fitted_models(frame, 20)[PARAMETERS].to_numpy() for frame in (histories, counted))
    assert one == pytest.approx(other, rel=1e-9)


def test_too_few_repeat_buyers_have_no_model() -> None:
    histories = simulated(6, 60, TYPICAL)
    repeat_buyers = int((histories["repeat_orders"] > 0).sum())
    assert fitted_models(histories, repeat_buyers)["is_fitted"].tolist() == [True]
    none = fitted_models(histories, repeat_buyers + 1)
    assert none["is_fitted"].tolist() == [False]
    assert none[[*PARAMETERS, "log_likelihood"]].isna().all(axis=None)
    assert fitted_models(histories.iloc[:0], 20).empty


@pytest.mark.parametrize(
    ("repeat_orders", "recency", "age"), [(1, 7, 7), (300, 300, 300), (1, 1, 5000), (5000, 5000, 5000)]
)
def test_customers_all_alike_have_a_model_or_none(repeat_orders: int, recency: int, age: int) -> None:
    """The likelihood has no maximum here; whatever comes of it must be usable."""
    rows = [(SUNDAY, "t1", repeat_orders, recency, age, 50)]
    model = fitted_models(pd.DataFrame(rows, columns=["model_date", "tenant_id", *HISTORY, "buyers"]), 20).iloc[0]
    told = expected_orders(model[PARAMETERS].to_numpy(float), floats(repeat_orders), floats(recency), floats(age))
    assert np.isfinite(told).all() == model["is_fitted"]
