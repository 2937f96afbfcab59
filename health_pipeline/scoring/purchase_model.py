"""The purchase model: is a customer who is quiet still a customer, and how many orders will it place?

MBG/NBD (Batislam, Denizel and Filiztekin 2007, "Empirical validation and comparison of models for customer base
analysis"): the BG/NBD model of Fader, Hardie and Lee (2005, "Counting your customers the easy way: an alternative to the
Pareto/NBD model") in which a customer can also drop out right after the first order, so that one-time buyers don't come
out as surely alive. Customers order at rates that are gamma distributed among them (shape r, scale alpha in days), and
drop out after an order with chances that are beta distributed (shapes a and b). A customer's history is repeat_orders (x,
orders after the first), recency_days (t_x, from the first order to the newest) and age_days (T, from the first order on).
For customers with repeat orders, the formulas with b lowered by 1 are those of BG/NBD.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

PARAMETERS = ["r", "alpha", "a", "b"]
HISTORY = ["repeat_orders", "recency_days", "age_days"]
HORIZON_DAYS = 90
_MODEL = ["model_date", "tenant_id"]
_START = np.log([1.0, 30.0, 1.0, 1.0])
_MOST_STEPS = 200
_LONGEST_STEP = 2.0  # in logarithms of the parameters
_TOLERANCE = 1e-8  # of the log-likelihood
# A pull towards the start, too weak to be seen where the orders say something, that keeps parameters finite elsewhere.
_PULL = 1e-3
_SMALLEST_ALPHA = 0.1
_MODELS_AT_ONCE = 256
_TERMS_AT_ONCE = 16
_NEGLIGIBLE = 1e-12


def probability_alive(parameters: Floats, repeat_orders: Floats, recency: Floats, age: Floats) -> Floats:
    """The probability that a customer has not dropped out. parameters: r, alpha, a and b, of one model or per customer.

    Not a number where a parameter is.
    """
    r, alpha, a, b = parameters
    silence = np.log1p((age - recency) / (alpha + recency))
    with np.errstate(over="ignore"):  # infinite odds are a probability of 0
        odds_of_drop_out = a / (b + repeat_orders) * np.exp((r + repeat_orders) * silence)
    return np.asarray(1 / (1 + odds_of_drop_out))


def expected_orders(
    parameters: Floats, repeat_orders: Floats, recency: Floats, age: Floats, horizon: float = HORIZON_DAYS
) -> Floats:
    """Orders expected in the next `horizon` days; arguments as for probability_alive.

    A customer that is alive would place n orders if it never dropped out, which is negative binomial; the k-th of them
    takes place if the customer stays after each of the k - 1 before. So the mean is the sum over k of P(n >= k) times the
    chance of staying k - 1 times: the published hypergeometric function as a sum of positive terms.
    """
    alive = probability_alive(parameters, repeat_orders, recency, age)
    r, alpha, a, b = (np.broadcast_to(value, alive.shape) for value in parameters)
    result = np.where(np.isfinite(alive), 0.0, np.nan)
    rows = np.flatnonzero(np.isfinite(alive))
    shape, later = (r + repeat_orders)[rows], (alpha + age)[rows]
    stays, chances = (b + repeat_orders + 1)[rows], (a + b + repeat_orders + 1)[rows]
    share, mean = horizon / (later + horizon), shape * horizon / later
    mass = np.exp(-shape * np.log1p(horizon / later))  # P(n = 0)
    tail, staying, total = 1 - mass, np.ones(len(rows)), np.zeros(len(rows))
    terms = 0
    while len(rows):
        for k in range(terms, terms + _TERMS_AT_ONCE):
            total += tail * staying
            mass = mass * share * ((shape + k) / (k + 1))
            tail = np.maximum(tail - mass, 0)
            staying = staying * ((stays + k) / (chances + k))
        terms += _TERMS_AT_ONCE
        result[rows] = total
        # Past the mean, a mass far below the tail shows that the tail is what rounding left over.
        on = (tail > _NEGLIGIBLE) & ((terms < mean) | (mass > 1e-6 * tail))
        rows = rows[on]
        states = np.array([shape, stays, chances, share, mean, mass, tail, staying, total])
        shape, stays, chances, share, mean, mass, tail, staying, total = states[:, on]
    return np.asarray(result * alive)


def fitted_models(histories: pd.DataFrame, min_repeat_buyers: int) -> pd.DataFrame:
    """The parameters of greatest likelihood; grain: model_date and tenant. A model does not depend on the others.

    histories: model_date, tenant_id, repeat_orders, recency_days, age_days, and buyers, how many customers have that
    history. A tenant with fewer repeat buyers than asked, or whose fit fails, gets a row without parameters.
    """
    histories = histories.sort_values([*_MODEL, *HISTORY], ignore_index=True)
    counted = histories.assign(repeat_buyers=histories["buyers"].where(histories["repeat_orders"] > 0, 0))
    models = counted.groupby(_MODEL, as_index=False)[["buyers", "repeat_buyers"]].sum()
    number = histories.groupby(_MODEL).ngroup().to_numpy()
    values = np.full((len(models), len(PARAMETERS) + 1), np.nan)
    wanted = np.flatnonzero(models["repeat_buyers"] >= min_repeat_buyers)
    for start in range(0, len(wanted), _MODELS_AT_ONCE):
        chunk = wanted[start : start + _MODELS_AT_ONCE]
        inside = np.isin(number, chunk)
        values[chunk] = _fitted(_Histories.of(histories[inside], np.searchsorted(chunk, number[inside])), len(chunk))
    models[[*PARAMETERS, "log_likelihood"]] = values
    models["is_fitted"] = models["r"].notna()
    return models


@dataclass(frozen=True)
class _Histories:
    """Distinct histories as arrays; model: the number of the model that each belongs to."""

    model: Whole
    repeat_orders: Whole
    recency: Floats
    age: Floats
    buyers: Floats

    @classmethod
    def of(cls, frame: pd.DataFrame, model: Whole) -> _Histories:
        recency, age, buyers = (frame[name].to_numpy(np.float64) for name in ("recency_days", "age_days", "buyers"))
        return cls(model, frame["repeat_orders"].to_numpy(np.int64), recency, age, buyers)

    def of_models(self, chosen: npt.NDArray[np.bool_]) -> _Histories:
        """Those of the chosen models, which are numbered anew."""
        mine = chosen[self.model]
        number = np.cumsum(chosen) - 1
        return _Histories(
            number[self.model[mine]], self.repeat_orders[mine], self.recency[mine], self.age[mine], self.buyers[mine]
        )


@dataclass(frozen=True)
class _Point:
    """Models at some logarithms of their parameters: log-likelihood with the pull, gradient, curvature (minus Hessian)."""

    logs: Floats
    value: Floats
    gradient: Floats
    curvature: Floats

    def of_models(self, chosen: npt.NDArray[np.bool_]) -> _Point:
        return _Point(self.logs[chosen], self.value[chosen], self.gradient[chosen], self.curvature[chosen])

    def or_better(self, other: _Point, is_better: npt.NDArray[np.bool_]) -> _Point:
        def pick(mine: Floats, its: Floats) -> Floats:
            return np.where(is_better.reshape(-1, *[1] * (mine.ndim - 1)), its, mine)

        return _Point(
            pick(self.logs, other.logs),
            pick(self.value, other.value),
            pick(self.gradient, other.gradient),
            pick(self.curvature, other.curvature),
        )


def _fitted(histories: _Histories, models: int) -> Floats:
    """r, alpha, a, b and the log-likelihood per model, by damped Newton steps; not numbers where they find no end."""
    result = np.full((models, len(PARAMETERS) + 1), np.nan)
    open_models = np.arange(models)
    damping = np.zeros(models)
    point = _point(np.tile(_START, (models, 1)), histories)
    for _ in range(_MOST_STEPS):
        step, gain = _step(point, damping)
        going = ~(gain < _TOLERANCE)
        if not going.all():
            ended = point.of_models(~going)
            result[open_models[~going]] = np.column_stack([np.exp(ended.logs), ended.value - _pull(ended.logs)])
            histories, point = histories.of_models(going), point.of_models(going)
            open_models, damping, step = open_models[going], damping[going], step[going]
            if not len(open_models):
                break
        tried = _point(point.logs + step, histories)
        is_better = (tried.value > point.value) & np.isfinite(tried.curvature).all(axis=(1, 2))
        point = point.or_better(tried, is_better)
        damping = np.where(is_better, np.where(damping > 0.01, damping / 4, 0), np.maximum(1, 4 * damping))
    result[~(result[:, 1] >= _SMALLEST_ALPHA)] = np.nan
    return result


def _step(point: _Point, damping: Floats) -> tuple[Floats, Floats]:
    """An uphill step, also where the likelihood is not concave, and the gain that it promises."""
    curvature, axes = np.linalg.eigh(point.curvature)
    along = np.einsum("mji,mj->mi", axes, point.gradient)
    along = along / (np.maximum(np.abs(curvature), 1e-9) * (1 + damping[:, None]))
    step = np.einsum("mij,mj->mi", axes, along)
    gain = np.einsum("mi,mi->m", step, point.gradient) / 2
    length = np.linalg.norm(step, axis=1, keepdims=True)
    return step * np.minimum(1, _LONGEST_STEP / np.maximum(length, 1e-300)), gain


def _pull(logs: Floats) -> Floats:
    return np.asarray(-_PULL / 2 * ((logs - _START) ** 2).sum(axis=1))


def _point(logs: Floats, h: _Histories) -> _Point:
    """The log-likelihood of a history is that of a customer that is alive, plus log(1 + odds that it dropped out)."""
    x, n = h.repeat_orders, np.arange(h.repeat_orders.max() + 1)
    r, alpha, a, b = np.exp(logs[h.model]).T
    # Of log Gamma(r + x) / Gamma(r) and log B(a, b + x + 1) / B(a, b), x whole: sums, and those of their derivatives.
    orders = [_sums(np.exp(logs[:, :1]) + n, power)[h.model, x] for power in range(3)]
    stays = [_sums(np.exp(logs[:, 3:]) + n, power)[h.model, x + 1] for power in range(3)]
    chances = [_sums(np.exp(logs[:, 2:3]) + np.exp(logs[:, 3:]) + n, power)[h.model, x + 1] for power in range(3)]
    now, last, silence = alpha + h.age, alpha + h.recency, h.age - h.recency
    lapse = np.log1p(silence / last)
    lapse_1 = -silence / (now * last)  # derivatives by alpha
    lapse_2 = silence * (now + last) / (now * last) ** 2
    log_odds = np.log(a / (b + x)) + (r + x) * lapse
    dropped = np.exp(-np.logaddexp(0, -log_odds))
    value = (
        orders[0] - r * np.log1p(h.age / alpha) - x * np.log(now) + stays[0] - chances[0] + np.logaddexp(0, log_odds)
    )
    odds_1 = np.array([lapse, (r + x) * lapse_1, 1 / a, -1 / (b + x)])
    alive_1 = np.array(
        [
            orders[1] - np.log1p(h.age / alpha),
            (r * h.age / alpha - x) / now,
            -chances[1],
            stays[1] - chances[1],
        ]
    )
    zero = np.zeros(len(x))
    second = {
        (0, 0): -orders[2],
        (0, 1): h.age / (alpha * now) + dropped * lapse_1,
        (1, 1): -r * h.age * (alpha + now) / (alpha * now) ** 2 + x / now**2 + dropped * (r + x) * lapse_2,
        (2, 2): chances[2] - dropped / a**2,
        (2, 3): chances[2],
        (3, 3): chances[2] - stays[2] + dropped / (b + x) ** 2,
    }
    parameters = np.exp(logs)
    gradient = parameters * _by_model(alive_1 + dropped * odds_1, h, len(logs))
    hessian = np.empty((len(logs), 4, 4))
    for i in range(4):
        for j in range(i, 4):
            term = second.get((i, j), zero) + dropped * (1 - dropped) * odds_1[i] * odds_1[j]
            entry = parameters[:, i] * parameters[:, j] * _by_model(term[None], h, len(logs))[:, 0]
            hessian[:, i, j] = hessian[:, j, i] = entry
    diagonal = np.arange(4)
    hessian[:, diagonal, diagonal] += gradient - _PULL
    gradient = gradient - _PULL * (logs - _START)
    return _Point(logs, _by_model(value[None], h, len(logs))[:, 0] + _pull(logs), gradient, -hessian)


def _sums(terms: Floats, derivative: int) -> Floats:
    """Sums over the first 0, 1, 2, ... terms of their logarithms, or of the first or second derivatives' sizes."""
    values = np.log(terms) if derivative == 0 else terms**-derivative
    return np.concatenate([np.zeros((len(terms), 1)), np.cumsum(values, axis=1)], axis=1)


def _by_model(values: Floats, h: _Histories, models: int) -> Floats:
    """Sums over each model's buyers; a column per row of values."""
    return np.column_stack([np.bincount(h.model, row * h.buyers, minlength=models) for row in values])
