"""Rounding half up in exact integer arithmetic: the library functions round half to even, on binary fractions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def widened(values: Integers, *factors: int) -> Integers:
    """The values in a type that holds them times twice any of the factors: Python's integers where 64 bits don't."""
    largest = int(np.abs(values).max(initial=0)) * max(factors) * 2
    return values if largest < 2**62 else values.astype(object)


def divided_half_up(numerator: Integers, denominator: Integers | int) -> Integers:
    """numerator / denominator, rounded half up. The numerator is 0 or more, the denominator above 0."""
    return np.asarray((2 * numerator + denominator) // (2 * np.asarray(denominator)))
