"""How the metrics are spread over cohorts of like tenants, and where each tenant stands among them.

Rule: tenant-health.md, `peer_benchmarks` and `tenant_peer_comparison`.

Works on a whole range of days at once. A day's rows never depend on other days or on the order of the input, because
all figures are exact sums and order statistics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from health_pipeline.scoring.suppression import suppressed_cohorts
from health_pipeline.tables.tenant_health import PEER_BENCHMARKS, PEER_COHORTS, PEER_METRICS

ALL = "ALL"
FIGURES = ("p25", "median", "p75", "mean", "min_value", "max_value")
# To count numbers is faster than to sort them, unless most of those that could be aren't there.
_SPARSE = 4

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SizeBand:
    """Tenants of so many employees, both ends inclusive; employee_max None: open-ended."""

    name: str
    employee_min: int
    employee_max: int | None


@dataclass(frozen=True)
class PeerRules:
    """The policy of peer benchmarks.

    size_bands: ascending and disjoint. min_peers: fewest peers of a published cohort, at least 1.
    min_peers_for_extremes: fewest peers of which the minimum and the maximum are shown.
    """

    size_bands: tuple[SizeBand, ...]
    min_peers: int
    min_peers_for_extremes: int


@dataclass(frozen=True)
class PeerTables:
    """benchmarks: rows of peer_benchmarks, sorted by key. ranks: rows of tenant_peer_ranks, in the order of the tenants."""

    benchmarks: pd.DataFrame
    ranks: pd.DataFrame


@dataclass(frozen=True)
class _Cohorts:
    """Who is in which cohort.

    A place is a position in the flattened grid of day x sector x size band, whose last sector and last band are ALL for
    cohorts and the unknown ones for cells. has_tenants: that grid, for cells. cell: each input row's place.
    places: the places of each input row's cohorts, in the order of PEER_COHORTS, -1 where it is in none. member, cohort:
    input row and place of every membership. written: places of the cohorts with a member, in the order of their keys.
    labels: the columns that hold no figure, a row for each place of `written`.
    """

    has_tenants: Booleans
    cell: Integers
    places: Integers
    member: Integers
    cohort: Integers
    written: Integers
    labels: pd.DataFrame


@dataclass(frozen=True)
class _Metric:
    """The values of a metric, in order within every cohort.

    values: those that there are, ascending. rank: each input row's position in them, -1 where not measured.
    spots: place x len(values) + rank, each that a membership has, ascending, so cohort after cohort. often: how many have it.
    counts: peers by place. stops: of all peers, place after place, where each place's end. published: whether a place's
    cohort may be shown.
    """

    values: Floats
    rank: Integers
    spots: Integers
    often: Integers
    counts: Integers
    stops: Integers
    published: Booleans


def employee_band(employee_count: pd.Series, bands: tuple[SizeBand, ...]) -> pd.Series:
    """The name of each count's size band; NA for an unknown count and for one in no band."""
    names = np.array([*(band.name for band in bands), None], dtype=object)
    return pd.Series(
        names[_band_position(employee_count, bands)], employee_count.index, dtype="str", name="employee_band"
    )


def peer_tables(tenants: pd.DataFrame, rules: PeerRules) -> PeerTables:
    """Benchmarks: a row per day, metric and cohort with at least one tenant; a suppressed row carries no figure.
    Ranks: a row per day and tenant.

    tenants: a row per metric_date and tenant_id active at D, with industry_sector and employee_count (NA: unknown) and
    the seven metrics (NA: not measured).
    """
    cohorts = _cohorts(tenants, rules.size_bands)
    benchmarks, ranks = [], [tenants[["metric_date", "tenant_id"]].reset_index(drop=True)]
    for name in sorted(PEER_METRICS):
        metric = _metric(tenants[name], cohorts, rules)
        is_whole = pd.api.types.is_integer_dtype(tenants[name].dtype)
        benchmarks.append(_benchmarks(name, metric, cohorts, rules, is_whole))
        ranks.append(_ranks(name, metric, cohorts))
    rows = pd.concat(benchmarks, ignore_index=True)
    by_day = np.argsort(rows["metric_date"].to_numpy(), kind="stable")
    return PeerTables(rows.loc[by_day, PEER_BENCHMARKS.column_names].reset_index(drop=True), pd.concat(ranks, axis=1))


def _band_position(employee_count: pd.Series, bands: tuple[SizeBand, ...]) -> Integers:
    """The position of each count's band; len(bands) for no band."""
    counts = employee_count.to_numpy(dtype="float64", na_value=np.nan)
    position = np.full(len(counts), len(bands), dtype=np.int64)
    for i, band in enumerate(bands):
        highest = math.inf if band.employee_max is None else band.employee_max
        position[(counts >= band.employee_min) & (counts <= highest)] = i
    return position


def _cohorts(tenants: pd.DataFrame, bands: tuple[SizeBand, ...]) -> _Cohorts:
    day, days = pd.factorize(tenants["metric_date"], sort=True)
    found, names = pd.factorize(tenants["industry_sector"])
    sectors = sorted(names)  # Python sorts text by code point
    position = {name: place for place, name in enumerate(sectors)}
    sector = np.array([*(position[name] for name in names), len(sectors)], dtype=np.int64)[found]  # found -1: unknown
    band = _band_position(tenants["employee_count"], bands)
    shape = (len(days), len(sectors) + 1, len(bands) + 1)

    def places(sector: Integers | int, band: Integers | int) -> Integers:
        return (day * shape[1] + sector) * shape[2] + band

    cell = places(sector, band)
    has_sector, has_band = sector < len(sectors), band < len(bands)
    of_cohorts = {
        "all": places(len(sectors), len(bands)),
        "band": np.where(has_band, places(len(sectors), band), -1),
        "sector": np.where(has_sector, places(sector, len(bands)), -1),
        "sector and band": np.where(has_sector & has_band, cell, -1),
    }
    all_places = np.array([of_cohorts[name] for name in PEER_COHORTS])
    _, member = np.nonzero(all_places >= 0)
    cohort = all_places[all_places >= 0]
    written = np.flatnonzero(np.bincount(cohort, minlength=math.prod(shape)))
    has_tenants = np.bincount(cell, minlength=math.prod(shape)).reshape(shape) > 0
    return _Cohorts(has_tenants, cell, all_places, member, cohort, *_labelled(written, shape, days, sectors, bands))


def _labelled(
    written: Integers, shape: tuple[int, int, int], days: pd.Index, sectors: list[str], bands: tuple[SizeBand, ...]
) -> tuple[Integers, pd.DataFrame]:
    """The written places in the order of their keys, and their columns that hold no figure."""
    sector_names = np.array([*sectors, ALL], dtype=object)
    band_names = np.array([*(band.name for band in bands), ALL], dtype=object)
    lowest = pd.array([*(band.employee_min for band in bands), None], dtype="Int64")
    highest = pd.array([*(band.employee_max for band in bands), None], dtype="Int64")
    day, sector, band = np.unravel_index(written, shape)
    order = np.lexsort((band_names.argsort().argsort()[band], sector_names.argsort().argsort()[sector], day))
    day, sector, band = day[order], sector[order], band[order]
    labels = pd.DataFrame(
        {
            "metric_date": days.to_numpy(dtype="datetime64[us]")[day],
            "industry_sector": pd.array(sector_names[sector], dtype="str"),
            "employee_band": pd.array(band_names[band], dtype="str"),
            "employee_min": lowest[band],
            "employee_max": highest[band],
        }
    )
    return written[order], labels


def _metric(column: pd.Series, cohorts: _Cohorts, rules: PeerRules) -> _Metric:
    rank, values = pd.factorize(column.to_numpy(dtype="float64", na_value=np.nan), sort=True)
    shape, size = cohorts.has_tenants.shape, cohorts.has_tenants.size
    peers = np.bincount(cohorts.cell[rank >= 0], minlength=size).reshape(shape)
    published = ~_suppressed(peers, cohorts.has_tenants, rules.min_peers).ravel()

    # Integers in order put the values in order within every cohort, cohort after cohort.
    peer_rank = rank[cohorts.member]
    cohort = cohorts.cohort[peer_rank >= 0]
    counts = np.bincount(cohort, minlength=size)
    spots, often = _distinct(cohort * len(values) + peer_rank[peer_rank >= 0], size * len(values))
    return _Metric(values, rank, spots, often, counts, np.cumsum(counts), published)


def _distinct(numbers: Integers, end: int) -> tuple[Integers, Integers]:
    """The distinct ones of numbers from 0 to before `end`, ascending, and how often each is there."""
    if end > _SPARSE * len(numbers):
        return np.unique(numbers, return_counts=True)
    often = np.bincount(numbers, minlength=end)
    distinct = np.flatnonzero(often)
    return distinct, often[distinct]


def _benchmarks(name: str, metric: _Metric, cohorts: _Cohorts, rules: PeerRules, whole_numbers: bool) -> pd.DataFrame:
    """The rows of one metric, in the order of `cohorts.written`."""
    published = metric.published[cohorts.written]
    count, stop = (each[cohorts.written[published]] for each in (metric.counts, metric.stops))
    ordered_values = np.repeat(metric.values[metric.spots % len(metric.values)], metric.often)

    # Only published cohorts get figures, so that none of a suppressed one exists anywhere.
    figures = np.full((len(FIGURES), len(published)), np.nan)
    figures[:, published] = _figures(ordered_values, stop - count, count, whole_numbers)
    peer_count = np.zeros(len(published), dtype=np.int64)
    peer_count[published] = count
    figures[-2:, peer_count < rules.min_peers_for_extremes] = np.nan
    return cohorts.labels.assign(
        metric_name=pd.array([name] * len(published), dtype="str"),
        peer_count=pd.arrays.IntegerArray(peer_count, ~published),
        is_suppressed=~published,
        **dict(zip(FIGURES, figures, strict=True)),
    )


def _ranks(name: str, metric: _Metric, cohorts: _Cohorts) -> pd.DataFrame:
    """Each input row's percentile rank in its narrowest published cohort, and which of its cohorts that is.

    The narrowest has the fewest peers; of equals, the one that is split more. Mid-rank among the other peers, 0 to 100; NaN
    where there is no other.
    """
    is_peer = metric.published[cohorts.places] & (cohorts.places >= 0) & (metric.rank >= 0)
    splits = np.arange(len(PEER_COHORTS))[:, np.newaxis]
    size = metric.counts[cohorts.places] * len(PEER_COHORTS) - splits
    cohort = np.where(is_peer, size, np.iinfo(np.int64).max).argmin(axis=0)
    has_peers: Booleans = np.any(is_peer, axis=0)
    place = np.take_along_axis(cohorts.places, cohort[np.newaxis], axis=0)[0][has_peers]
    spot = np.searchsorted(metric.spots, place * len(metric.values) + metric.rank[has_peers])
    stop, equal = np.cumsum(metric.often)[spot], metric.often[spot]
    below, beside = stop - equal - (metric.stops - metric.counts)[place], equal - 1
    others = metric.counts[place] - 1
    rank = np.full(len(has_peers), np.nan)
    rank[has_peers] = 100 * (below + beside / 2) / np.where(others > 0, others, np.nan)
    return pd.DataFrame({f"{name}_rank": rank, f"{name}_cohort": pd.arrays.IntegerArray(cohort, ~has_peers)})


def _suppressed(peers: Integers, has_tenants: Booleans, min_peers: int) -> Booleans:
    """The grid of cohorts that may not be shown, from the grid of cells."""
    cells = peers.astype(object)
    cells[~has_tenants] = None
    grids = [suppressed_cohorts(tuple(map(tuple, day)), min_peers) for day in cells.tolist()]
    return np.array(grids, dtype=bool).reshape(has_tenants.shape)


def _figures(values: Floats, start: Integers, count: Integers, whole_numbers: bool) -> Floats:
    """FIGURES x cohorts, of the sorted values of each cohort, which are `count` values from `start` on."""
    lowest, highest = values[start], values[start + count - 1]
    if whole_numbers:
        total = np.concatenate(([0.0], values.cumsum()))  # exact up to 2**53
        sums = total[start + count] - total[start]
    else:
        each = values.tolist()
        slices = zip(start.tolist(), (start + count).tolist(), strict=True)
        sums = np.array([math.fsum(each[first:stop]) for first, stop in slices], dtype=np.float64)
    mean = np.clip(sums / count, lowest, highest)  # the division may round out of the range
    quartiles = [_quartile(values, start, count, quarters) for quarters in (1, 2, 3)]
    return np.array([*quartiles, mean, lowest, highest])


def _quartile(values: Floats, start: Integers, count: Integers, quarters: int) -> Floats:
    """Interpolated linearly between the two nearest ranks."""
    whole, rest = np.divmod((count - 1) * quarters, 4)
    below, above = values[start + whole], values[start + whole + (rest > 0)]
    return below + (above - below) * (rest / 4)
