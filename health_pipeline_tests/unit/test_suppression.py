"""Suppression: examples worked by hand, and agreement with a naive restatement of tenant-health.md's steps 1 to 5."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from health_pipeline.scoring.suppression import suppressed_cohorts

Place = tuple[int, int]
Peers = tuple[tuple[int | None, ...], ...]

X = None  # a cell without a tenant


def picture(peers: Peers, min_peers: int = 5) -> list[str]:
    """A row per sector, then ALL; in it a mark per band, then ALL: # suppressed or without a tenant, o published."""
    return ["".join("#" if hidden else "o" for hidden in row) for row in suppressed_cohorts(peers, min_peers)]


@pytest.mark.parametrize(("peers", "expected"), [(4, ["##", "##"]), (5, ["oo", "oo"])])
def test_a_cohort_needs_five_peers(peers: int, expected: list[str]) -> None:
    assert picture(((peers, X), (X, X))) == expected


def test_the_limit_is_policy() -> None:
    assert picture(((4, X), (X, X)), min_peers=4) == ["oo", "oo"]
    assert picture(((1, X), (X, X)), min_peers=1) == ["oo", "oo"]
    assert picture(((0, X), (X, X)), min_peers=1) == ["##", "##"]


def test_a_sibling_that_would_give_a_small_cohort_away_is_suppressed() -> None:
    # ALL - first sector would be the second: 4 peers. With the first suppressed too, the remainder is both: 14.
    assert picture(((10, X), (4, X), (X, X))) == ["##", "##", "oo"]


def test_the_sibling_with_the_fewest_peers_is_suppressed() -> None:
    assert picture(((10, X), (4, X), (6, X), (X, X))) == ["oo", "##", "##", "oo"]


def test_among_equal_siblings_the_first_is_suppressed() -> None:
    assert picture(((4, X), (6, X), (6, X), (X, X))) == ["##", "##", "oo", "oo"]
    assert picture(((4, 6, 6, X), (X, X, X, X))) == ["##oo", "##oo"]


def test_peers_of_unknown_sector_or_size_protect_a_small_remainder() -> None:
    assert picture(((10, X), (4, X), (1, X))) == ["oo", "##", "oo"]
    assert picture(((10, X), (3, X), (1, X))) == ["##", "##", "oo"]
    assert picture(((10, 4, 1), (X, X, X))) == ["o#o", "o#o"]


def test_a_remainder_must_not_be_exactly_one_suppressed_child() -> None:
    # The second sector's 4 hide its 7. Then first band - 10 would be exactly these 7, so the 10 are hidden; and second
    # band - 6 would be the 4, so the 6 are.
    assert picture(((10, 6, X), (7, 4, X), (X, X, X))) == ["##o", "##o", "ooo"]


def test_a_parent_that_is_exactly_one_suppressed_child_is_suppressed() -> None:
    # The third sector's 4 hide the 6 in their band. These 6 are the whole second sector, so it is suppressed as well
    # (among the sectors it wasn't, thanks to the 5 peers of unknown sector).
    assert picture(((9, X, X), (X, 6, X), (X, 4, X), (5, X, X))) == ["o#o", "###", "###", "ooo"]


def test_the_cells_of_a_suppressed_sector_are_suppressed() -> None:
    # The third sector's 4 hide the second sector. The second's only cell is enough for a cohort and no band's remainder
    # (9 are of unknown size), but it is the sector's; with it hidden, band - 20 would be exactly it.
    assert picture(((20, 5), (6, X), (X, 4), (X, X))) == ["#o", "##", "##", "oo"]


def test_tenants_without_a_value_are_no_peers() -> None:
    assert picture(((0, 0), (0, 0))) == ["##", "##"]
    # The second sector's tenants have no value. That is a figure, too: ALL - first sector would be its peer_count, 0.
    # No single cohort is indispensable for it; the first cell goes, and then its parents, which are exactly that cell.
    assert picture(((10, X), (0, X), (X, X))) == ["##", "##", "##"]
    # In other bands, only ALL x ALL is indispensable for it. Its children stand, unlike those of a sector or a band.
    assert picture(((X, 10, X), (0, X, X), (X, X, X))) == ["#oo", "###", "#o#"]
    # With other sectors to hide among, nothing but the small one and its cell is lost.
    assert picture(((10, X), (0, X), (4, X), (3, X))) == ["oo", "##", "##", "oo"]


def test_a_cohort_that_several_families_together_give_away_is_protected() -> None:
    # The 4s of the first two sectors and bands hide each other, as do those of the last two. The 3 is given away: it is
    # first two sectors - first two bands, less and plus cells of 10. Of those cells the first is suppressed,
    # or one with fewer peers.
    peers = ((4, 4, 10, 10, X), (4, 4, 3, 10, X), (10, 10, 4, 4, X), (10, 10, 4, 4, X), (X, X, X, X, X))
    assert picture(peers) == ["###oo", "###oo", "oo##o", "oo##o", "ooooo"]
    smaller_across = (*peers[:2], (6, 10, 4, 4, X), *peers[3:])
    assert picture(smaller_across) == ["##ooo", "###oo", "#o##o", "oo##o", "ooooo"]
    nothing_between = tuple(tuple(9 if cell == 3 else cell for cell in row) for row in peers)
    assert picture(nothing_between) == ["##ooo", "##ooo", "oo##o", "oo##o", "ooooo"]


def test_many_small_cells_leave_nothing_to_compute() -> None:
    peers = (*((5, 4, 6, 5, X, 0) for _ in range(9)), (X, 1, X, X, 2, X))
    suppressed = suppressed_cohorts(peers, 5)
    assert not suppressed[-1][-1]
    assert not attack(peers, suppressed)


# The naive restatement: sets of cells, and linear algebra on fractions.


def cohorts_of(peers: Peers) -> dict[Place, frozenset[Place]]:
    """Cohort -> its cells with a tenant, in the order of sector, then size, ALL last."""
    last_row, last_column = len(peers) - 1, len(peers[0]) - 1
    places = list(product(range(last_row + 1), range(last_column + 1)))
    cells = [(row, column) for row, column in places if peers[row][column] is not None]
    cohorts = {
        (row, column): frozenset(c for c in cells if row in (last_row, c[0]) and column in (last_column, c[1]))
        for row, column in places
    }
    return {place: cohort for place, cohort in cohorts.items() if cohort}


def combines(target: frozenset[Place], given_cohorts: list[frozenset[Place]]) -> bool:
    """Whether the target's 0/1 vector is a linear combination of the given ones."""
    cells = sorted(target.union(*given_cohorts))
    basis: list[list[Fraction]] = []

    def reduced(cohort: frozenset[Place]) -> list[Fraction]:
        vector = [Fraction(cell in cohort) for cell in cells]
        for row in basis:
            pivot = next(i for i, x in enumerate(row) if x)
            if vector[pivot]:
                factor = vector[pivot] / row[pivot]
                vector = [x - factor * y for x, y in zip(vector, row, strict=True)]
        return vector

    for cohort in given_cohorts:
        if any(vector := reduced(cohort)):
            basis.append(vector)
    return not any(reduced(target))


def attack(peers: Peers, suppressed: tuple[tuple[bool, ...], ...]) -> list[Place]:
    """The suppressed cohorts that are linear combinations of published ones."""
    cohorts = cohorts_of(peers)
    published = [cohort for (row, column), cohort in cohorts.items() if not suppressed[row][column]]
    return [
        place for place, cohort in cohorts.items() if suppressed[place[0]][place[1]] and combines(cohort, published)
    ]


class Naive:
    def __init__(self, peers: Peers, min_peers: int) -> None:
        self.peers, self.min_peers = peers, min_peers
        self.cohorts = cohorts_of(peers)
        self.suppressed = {place for place in self.cohorts if self.count(self.cohorts[place]) < min_peers}
        sectors, bands = len(peers) - 1, len(peers[0]) - 1
        total = (sectors, bands)
        self.families = [(total, [(s, bands) for s in range(sectors)]), (total, [(sectors, b) for b in range(bands)])]
        self.split = [((s, bands), [(s, b) for b in range(bands)]) for s in range(sectors)]
        self.split += [((sectors, b), [(s, b) for s in range(sectors)]) for b in range(bands)]

    def count(self, cells: frozenset[Place]) -> int:
        return sum(self.peers[row][column] or 0 for row, column in cells)

    def held(self, cells: frozenset[Place]) -> frozenset[Place]:
        return frozenset(cell for cell in cells if self.peers[cell[0]][cell[1]])

    def fewest(self, places: list[Place]) -> Place:
        return min(places, key=lambda place: (self.count(self.cohorts[place]), place))

    def family(self, parent: Place, children: list[Place]) -> None:
        while parent in self.cohorts and parent not in self.suppressed:
            published = [c for c in children if c in self.cohorts and c not in self.suppressed]
            remainder = self.held(self.cohorts[parent].difference(*(self.cohorts[c] for c in published)))
            one_child = [c for c in children if c in self.suppressed and self.held(self.cohorts[c]) == remainder]
            if not remainder or (self.count(remainder) >= self.min_peers and not one_child):
                return
            self.suppressed.add(self.fewest(published) if published else parent)

    def families_settled(self) -> None:
        before = None
        while before != self.suppressed:
            before = set(self.suppressed)
            for parent, children in self.families + self.split:
                self.family(parent, children)
            for parent, children in self.split:
                if parent in self.suppressed:
                    self.suppressed |= set(children) & set(self.cohorts)

    def solved(self) -> tuple[tuple[bool, ...], ...]:
        self.families_settled()
        while True:
            published = [place for place in self.cohorts if place not in self.suppressed]
            known = [self.cohorts[place] for place in published]
            target = next((p for p in self.cohorts if p in self.suppressed and combines(self.cohorts[p], known)), None)
            if target is None:
                break
            needed = [
                place
                for place in published
                if not combines(self.cohorts[target], [self.cohorts[p] for p in published if p != place])
            ]
            self.suppressed.add(self.fewest(needed or published))
            self.families_settled()
        rows, columns = range(len(self.peers)), range(len(self.peers[0]))
        return tuple(tuple((r, c) not in self.cohorts or (r, c) in self.suppressed for c in columns) for r in rows)


@st.composite
def tables(draw: st.DrawFn) -> Peers:
    sectors, bands = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    named = st.one_of(st.sampled_from([0, 4, 5, 6, 10]), st.none(), st.integers(0, 12))
    unknown = draw(st.sampled_from([st.none(), st.one_of(st.none(), st.integers(0, 6))]))
    return tuple(
        tuple(draw(unknown if sector == sectors or band == bands else named) for band in range(bands + 1))
        for sector in range(sectors + 1)
    )


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from([1, 2, 5]))
@example(((5, 0, X), (X, X, X)), 5)  # step 5 with no single indispensable cohort
def test_agrees_with_the_naive_restatement_and_leaves_nothing_to_compute(peers: Peers, min_peers: int) -> None:
    assume(any(cell is not None for row in peers for cell in row))
    suppressed = suppressed_cohorts(peers, min_peers)
    assert suppressed == Naive(peers, min_peers).solved()
    assert not attack(peers, suppressed)


@settings(max_examples=50, deadline=None)
@given(tables())
def test_sectors_without_a_tenant_change_nothing(peers: Peers) -> None:
    empty = (None,) * len(peers[0])
    suppressed = suppressed_cohorts(peers, 5)
    assert suppressed_cohorts((empty, *peers), 5) == ((True,) * len(peers[0]), *suppressed)
