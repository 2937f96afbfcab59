"""Which cohorts of peers may be shown. Rule: tenant-health.md, `peer_benchmarks`, suppression steps 1 to 5.

The cohorts of one metric on one day are entries of a sector x size table with its margins ALL. Tenants of unknown
sector or size make one more row and column, whose entries are never shown.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

Place = tuple[int, int]  # (sector, size band), each by its position


@lru_cache(maxsize=2048)
def suppressed_cohorts(peers: tuple[tuple[int | None, ...], ...], min_peers: int) -> tuple[tuple[bool, ...], ...]:
    """The suppressed cohorts of one metric on one day.

    peers: a row per sector by code point, then one for the unknown; in it a cell per size band by size, then one for
    the unknown. A cell is its number of peers (tenants with a value), or None where there is no tenant at all.
    Result: a row per sector, then ALL; in it an entry per size band, then ALL. True: suppressed, or without a tenant.

    Cached, because the metrics of a day, and days in a row, mostly have the same counts.
    """
    table = _table(peers, min_peers)
    table.protect_families()
    while table.protect_recoverable():
        table.protect_families()
    rows, columns = range(len(peers)), range(len(peers[0]))
    return tuple(tuple((row, column) not in table.published for column in columns) for row in rows)


@dataclass(frozen=True)
class _Table:
    """A metric's cohorts on one day and which of them are still published.

    cohorts: the peers of each, in the order of sector, then size, ALL last. families: (parent, its children), in the
    rule's order. unnamed: the entries of unknown sector or size, which are no cohorts.
    """

    cohorts: dict[Place, int]
    families: list[tuple[Place, list[Place]]]
    unnamed: list[Place]
    published: set[Place]
    min_peers: int

    def protect_families(self) -> None:
        """Steps 2 to 4."""
        before = -1
        while before != len(self.published):
            before = len(self.published)
            for parent, children in self.families:
                self._protect_remainder(parent, children)
            for parent, children in self.families[2:]:  # the first two have the parent ALL x ALL
                if parent not in self.published:
                    self.published.difference_update(children)

    def _protect_remainder(self, parent: Place, children: list[Place]) -> None:
        """Step 2 for one family."""
        while parent in self.published:
            shown = [child for child in children if child in self.published]
            remainder = self.cohorts[parent] - sum(self.cohorts[child] for child in shown)
            # Children are disjoint: a suppressed one with as many peers as the remainder is the whole remainder.
            is_one_child = any(self.cohorts[child] == remainder for child in children if child not in self.published)
            if remainder == 0 or (remainder >= self.min_peers and not is_one_child):
                return
            self.published.remove(min(shown, key=self.cohorts.__getitem__, default=parent))

    def protect_recoverable(self) -> bool:
        """Step 5 for one suppressed cohort; False if none is a linear combination of published ones.

        Take the table's rows and columns, margins included, as nodes, and its entries as edges between them. In every
        row and column the entries add up to the margin, so two tables that agree on all published entries differ by
        flows along cycles of unpublished edges. Hence an unpublished entry is a linear combination of published ones
        exactly if no such cycle passes through it: if it is a bridge. And a published entry is indispensable to it
        exactly if, unpublished, it would close a cycle through it: if it joins the bridge's two sides. No rank is
        computed, so nothing is rounded.
        """
        neighbours: dict[int, list[int]] = defaultdict(list)  # rows are 0, 1, ..., columns -1, -2, ...
        for place in (*self.unnamed, *(place for place in self.cohorts if place not in self.published)):
            neighbours[place[0]].append(~place[1])
            neighbours[~place[1]].append(place[0])
        recoverable = [place for place in _bridges(neighbours) if place in self.cohorts]
        if not recoverable:
            return False
        row, column = min(recoverable)
        side, other = _side(neighbours, row, ~column), _side(neighbours, ~column, row)
        shown = [place for place in self.cohorts if place in self.published]
        indispensable = [(r, c) for r, c in shown if (r in side and ~c in other) or (r in other and ~c in side)]
        self.published.remove(min(indispensable or shown, key=self.cohorts.__getitem__))
        return True


def _table(peers: tuple[tuple[int | None, ...], ...], min_peers: int) -> _Table:
    """The table with step 1 done. Positions: sectors and bands from 0, then ALL, then the unknown."""
    sectors, bands = range(len(peers) - 1), range(len(peers[0]) - 1)
    all_sectors, all_bands = len(sectors), len(bands)
    entries: dict[Place, int] = defaultdict(int)
    for row, cells in enumerate(peers):
        for column, count in enumerate(cells):
            if count is not None:
                place = (row + (row == all_sectors), column + (column == all_bands))
                for entry in (place, (place[0], all_bands), (all_sectors, place[1]), (all_sectors, all_bands)):
                    entries[entry] += count
    cohorts = {place: entries[place] for place in sorted(entries) if place[0] <= all_sectors and place[1] <= all_bands}

    def in_sector(sector: int) -> list[Place]:
        return [(sector, band) for band in bands if (sector, band) in cohorts]

    def in_band(band: int) -> list[Place]:
        return [(sector, band) for sector in sectors if (sector, band) in cohorts]

    families = [((all_sectors, all_bands), in_band(all_bands)), ((all_sectors, all_bands), in_sector(all_sectors))]
    families += [((sector, all_bands), in_sector(sector)) for sector in sectors if (sector, all_bands) in cohorts]
    families += [((all_sectors, band), in_band(band)) for band in bands if (all_sectors, band) in cohorts]
    unnamed = [place for place in entries if place not in cohorts]
    published = {place for place, count in cohorts.items() if count >= min_peers}
    return _Table(cohorts, families, unnamed, published, min_peers)


def _bridges(neighbours: dict[int, list[int]]) -> list[Place]:
    """The edges (row, column) that lie on no cycle, by depth-first search.

    Paths alternate between rows and columns, so the recursion is at most about twice as deep as there are size bands.
    """
    found: list[Place] = []
    visited: dict[int, int] = {}

    def earliest_reached(node: int, came_from: int | None) -> int:
        earliest = visited[node] = len(visited)
        for neighbour in neighbours[node]:
            if neighbour == came_from:
                continue
            if neighbour in visited:
                reached = visited[neighbour]
            else:
                reached = earliest_reached(neighbour, node)
                if reached > visited[node]:
                    found.append((max(node, neighbour), ~min(node, neighbour)))
            earliest = min(earliest, reached)
        return earliest

    for node in neighbours:
        if node not in visited:
            earliest_reached(node, None)
    return found


def _side(neighbours: dict[int, list[int]], start: int, across: int) -> set[int]:
    """The nodes that `start` reaches without the edge from `start` to `across`."""
    reached, waiting = {start}, [node for node in neighbours[start] if node != across]
    while waiting:
        node = waiting.pop()
        if node not in reached:
            reached.add(node)
            waiting += neighbours[node]
    return reached
