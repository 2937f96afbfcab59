"""Which cohorts are suppressed (tenant-health.md, `peer_benchmarks`), and what an attacker could still find out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

ALL = "ALL"
Cohort = tuple[str, str]
"""(sector or ALL, size band or ALL)."""
Cell = tuple[str | None, str | None]
"""The sector and the size band of a tenant, None where unknown."""
Vector = list[Fraction]


def covers(cohort: Cohort, cell: Cell) -> bool:
    """Whether the tenants of the cell are in the cohort."""
    return cohort[0] in (ALL, cell[0]) and cohort[1] in (ALL, cell[1])


def cohorts_of(cells: Iterable[Cell], bands: Sequence[str]) -> list[Cohort]:
    """Every cohort with at least one tenant, by sector, then size, ALL last."""
    found = {
        (sector, band)
        for cell in cells
        for sector in (cell[0], ALL)
        for band in (cell[1], ALL)
        if sector is not None and band is not None
    }
    return sorted(found, key=lambda cohort: order(cohort, bands))


def order(cohort: Cohort, bands: Sequence[str]) -> tuple[bool, str, bool, int]:
    """The order by sector (code points), then size, ALL last."""
    sector, band = cohort
    return sector == ALL, sector, band == ALL, -1 if band == ALL else list(bands).index(band)


def suppressed_cohorts(
    cells: Mapping[str, Cell], peers: set[str], bands: Sequence[str], min_peers: int = 5
) -> set[Cohort]:
    """The suppressed cohorts of one metric on one day.

    `cells` places every tenant at D, `peers` are those with a value of the metric, `bands` the size bands by size.
    """
    cohorts = cohorts_of(cells.values(), bands)
    members = {cohort: {tenant for tenant in peers if covers(cohort, cells[tenant])} for cohort in cohorts}
    occupied = sorted(set(cells.values()), key=repr)
    # Step 1
    published = {cohort for cohort in cohorts if len(members[cohort]) >= min_peers}
    settle(published, members, cohorts, min_peers)
    # Step 5
    while (target := first_combination(published, cohorts, occupied)) is not None:
        without = [
            cohort
            for cohort in cohorts
            if cohort in published
            and not in_span(vector(target, occupied), vectors(published - {cohort}, cohorts, occupied))
        ]
        candidates = without or [cohort for cohort in cohorts if cohort in published]
        published.discard(min(candidates, key=lambda cohort: len(members[cohort])))  # the first of equals
        settle(published, members, cohorts, min_peers)
    return set(cohorts) - published


def settle(
    published: set[Cohort], members: Mapping[Cohort, set[str]], cohorts: Sequence[Cohort], min_peers: int
) -> None:
    """Steps 2 to 4: takes cohorts out of `published` until nothing changes."""
    while True:
        before = set(published)
        for parent, children in families(cohorts):
            mend_family(parent, children, published, members, min_peers)
        for sector, band in cohorts:  # step 3
            if ALL not in (sector, band) and not {(sector, ALL), (ALL, band)} <= published:
                published.discard((sector, band))
        if published == before:
            return


def families(cohorts: Sequence[Cohort]) -> list[tuple[Cohort, list[Cohort]]]:
    """(parent, children) in the order of step 2; `cohorts` come by sector, then size, and so do the children."""
    top = (ALL, ALL)
    sectors = [cohort for cohort in cohorts if cohort[0] != ALL and cohort[1] == ALL]
    bands = [cohort for cohort in cohorts if cohort[0] == ALL and cohort[1] != ALL]
    narrow = [cohort for cohort in cohorts if ALL not in cohort]
    return [
        (top, sectors),
        (top, bands),
        *[(parent, [child for child in narrow if child[0] == parent[0]]) for parent in sectors],
        *[(parent, [child for child in narrow if child[1] == parent[1]]) for parent in bands],
    ]


def mend_family(
    parent: Cohort, children: list[Cohort], published: set[Cohort], members: Mapping[Cohort, set[str]], min_peers: int
) -> None:
    """Suppress in one family until the remainder of its parent gives nothing away."""
    while parent in published:
        shown = [child for child in children if child in published]
        hidden = [members[child] for child in children if child not in published]
        remainder = members[parent].difference(*[members[child] for child in shown])
        if not remainder or (len(remainder) >= min_peers and remainder not in hidden):
            return
        published.discard(min(shown, key=lambda child: len(members[child])) if shown else parent)


def first_combination(published: set[Cohort], cohorts: Sequence[Cohort], occupied: Sequence[Cell]) -> Cohort | None:
    """The first suppressed cohort that is a linear combination of published ones."""
    basis = echelon(vectors(published, cohorts, occupied))
    for cohort in cohorts:
        if cohort not in published and not any(rest_of(vector(cohort, occupied), basis)):
            return cohort
    return None


def vector(cohort: Cohort, occupied: Sequence[Cell]) -> Vector:
    """The cohort over the cells that hold a tenant: 1 where it covers the cell."""
    return [Fraction(int(covers(cohort, cell))) for cell in occupied]


def vectors(published: set[Cohort], cohorts: Sequence[Cohort], occupied: Sequence[Cell]) -> list[Vector]:
    """The vectors of the published cohorts, in a fixed order."""
    return [vector(cohort, occupied) for cohort in cohorts if cohort in published]


def in_span(target: Vector, others: list[Vector]) -> bool:
    """Whether `target` is a linear combination of the others."""
    return not any(rest_of(target, echelon(others)))


def echelon(rows: list[Vector]) -> list[tuple[int, Vector]]:
    """A basis of the rows' span as (pivot, row), each row 1 at its own pivot and 0 at the pivots before."""
    basis: list[tuple[int, Vector]] = []
    for row in rows:
        rest = rest_of(row, basis)
        pivot = next((n for n, value in enumerate(rest) if value), None)
        if pivot is not None:
            basis.append((pivot, [value / rest[pivot] for value in rest]))
    return basis


def rest_of(row: Vector, basis: list[tuple[int, Vector]]) -> Vector:
    """What is left of the row once the basis is subtracted: all zeros if it lies in the span."""
    for pivot, base in basis:
        factor = row[pivot]
        if factor:
            row = [value - factor * other for value, other in zip(row, base, strict=True)]
    return row


def recoverable(published: Iterable[Cohort], cells: Iterable[Cell], bands: Sequence[str]) -> list[Cohort]:
    """An attacker's check: the unpublished cohorts that are a linear combination of published ones.

    `cells` are the tenants' cells (of all tenants at D, or of those with a value only: the stricter view of an attacker
    who knows who has none). Cohorts without a tenant in `cells` hold nothing to recover.
    """
    tenant_cells = list(cells)
    occupied = sorted(set(tenant_cells), key=repr)
    shown = set(published)
    basis = echelon([vector(cohort, occupied) for cohort in sorted(shown)])
    hidden = [cohort for cohort in cohorts_of(tenant_cells, bands) if cohort not in shown]
    return [cohort for cohort in hidden if not any(rest_of(vector(cohort, occupied), basis))]
