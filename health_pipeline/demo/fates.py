"""What becomes of a tenant: a story told by two curves over its days in the window.

`activity` scales how much the tenant's people do (1 is normal use). `mood` (0 to 1) drives what goes well or badly:
cases in time, campaigns answered, tickets raised, feedback. A curve gets the progress of each tenant through its days
(a row per tenant, a column per day, 0 on its first day in the window, 1 on its last) and returns a value for each.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from health_pipeline.demo.sampling import FloatArray

Curve = Callable[[np.random.Generator, FloatArray], FloatArray]


def _flat(low: float, high: float) -> Curve:
    """A level of its own for each tenant, the same on all days."""

    def curve(rng: np.random.Generator, progress: FloatArray) -> FloatArray:
        return np.broadcast_to(rng.uniform(low, high, (len(progress), 1)), progress.shape)

    return curve


def _ramp(first: tuple[float, float], last: tuple[float, float]) -> Curve:
    """A straight way from a level in `first` to a level in `last`, which some reach before the last day."""

    def curve(rng: np.random.Generator, progress: FloatArray) -> FloatArray:
        start, end = rng.uniform(*first, (len(progress), 1)), rng.uniform(*last, (len(progress), 1))
        arrival = rng.uniform(0.65, 1.0, (len(progress), 1))
        return start + (end - start) * np.minimum(progress / arrival, 1.0)

    return curve


def _wave(low: float, high: float) -> Curve:
    """High season and low season in turn, one and a quarter of a cycle in the window."""

    def curve(rng: np.random.Generator, progress: FloatArray) -> FloatArray:
        phase = rng.random((len(progress), 1))
        return low + (high - low) * (0.5 + 0.5 * np.sin(2 * np.pi * (1.25 * progress + phase)))

    return curve


def _cliff(level: tuple[float, float], after: float) -> Curve:
    """A steady level that falls to `after` from one day to the next, somewhere in the second half."""

    def curve(rng: np.random.Generator, progress: FloatArray) -> FloatArray:
        height, edge = rng.uniform(*level, (len(progress), 1)), rng.uniform(0.5, 0.99, (len(progress), 1))
        return np.where(progress < edge, height, after)

    return curve


@dataclass(frozen=True)
class Fate:
    """A story. Shares are fractions of 1; `features` counts those in use on the first and on the last day."""

    name: str
    share: float
    activity: Curve
    mood: Curve
    features: tuple[int, int] = (7, 9)
    joining: float = 0.12  # of its users, created inside the window
    leaving: float = 0.06  # of its users, deactivated inside the window
    size_band: int | None = None  # index into tenants.SIZE_BANDS, where the story asks for one
    user_range: tuple[int, int] | None = None  # instead of the size band's


FATES: tuple[Fate, ...] = (
    Fate("steady", 0.32, _flat(0.25, 1.0), _flat(0.35, 1.0)),
    Fate("growing", 0.14, _ramp((0.25, 0.45), (0.9, 1.3)), _ramp((0.5, 0.75), (0.8, 1.0)), (4, 13), joining=0.5),
    Fate("seasonal", 0.10, _wave(0.04, 1.0), _flat(0.4, 0.9)),
    Fate("dying", 0.10, _ramp((0.5, 0.8), (0.0, 0.05)), _ramp((0.3, 0.6), (0.0, 0.05)), (4, 5), 0.02, leaving=0.2),
    Fate("gone_quiet", 0.06, _cliff((0.6, 1.0), 0.003), _ramp((0.6, 0.9), (0.1, 0.4)), (7, 8)),
    Fate("churned", 0.08, _ramp((0.5, 0.8), (0.03, 0.2)), _ramp((0.4, 0.7), (0.0, 0.2)), (5, 6), 0.02, leaving=0.25),
    Fate("brand_new", 0.06, _ramp((0.2, 0.5), (0.8, 1.2)), _flat(0.5, 0.9), (2, 6), joining=1.0, leaving=0.0),
    Fate("empty_shell", 0.02, _flat(0.0, 0.0), _flat(0.5, 0.6), (0, 0), size_band=0, user_range=(0, 0)),
    Fate("enterprise", 0.02, _flat(0.5, 0.8), _flat(0.75, 0.95), (12, 14), size_band=4, user_range=(220, 480)),
    Fate("tiny_shop", 0.10, _flat(0.2, 1.0), _flat(0.3, 1.0), (2, 5), size_band=0, user_range=(1, 4)),
)
