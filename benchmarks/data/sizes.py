"""How much data there is."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np

from health_pipeline.demo.sampling import Window

USUAL_DAYS = 120
# Long past for every clock, so that no fact lies in the future; fixed, so that data is made once.
LAST_DAY = datetime.date(2025, 6, 30)


@dataclass(frozen=True)
class Size:
    """How many tenants and users there are, and how many events they have in USUAL_DAYS days."""

    name: str
    tenants: int
    users: int
    events: int


SIZES = {
    size.name: size
    for size in (
        Size("XS", 20, 500, 50_000),
        Size("S", 200, 10_000, 1_000_000),
        Size("M", 2_000, 100_000, 10_000_000),
        Size("L", 10_000, 500_000, 40_000_000),
    )
}
"""XS is for tests: it shows that all works, and measures nothing."""


@dataclass(frozen=True)
class Dataset:
    """A size over so many days of history, the last of them LAST_DAY, at the size's rate of facts a day."""

    size: Size
    days: int = USUAL_DAYS
    seed: int = 7

    @property
    def name(self) -> str:
        """A name for its folder and its database."""
        return f"{self.size.name.lower()}_{self.days}d_seed{self.seed}"

    @property
    def window(self) -> Window:
        return Window(LAST_DAY, self.days)

    def count(self, in_usual_days: float) -> int:
        """How many facts there are in all, if there are so many in USUAL_DAYS days."""
        return max(1, round(in_usual_days * self.days / USUAL_DAYS))

    def random(self, *stream: int) -> np.random.Generator:
        """The random numbers of one part of the data, independent of those of every other part."""
        return np.random.default_rng([self.seed, self.size.events, self.days, *stream])
