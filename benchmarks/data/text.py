"""Identifiers as columns of text, many millions at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# Odd, so that different numbers below a power of two stay different: identifiers look random, as real ones do.
_SCRAMBLER = 0x9E3779B97F4A7C15
_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def hex_ids(prefix: str, numbers: npt.NDArray[np.int64], digits: int) -> pa.Array:
    """The prefix and so many hexadecimal digits: different for numbers that differ below 16 ** digits."""
    modulus = np.uint64(16**digits - 1)
    scrambled = (numbers.astype(np.uint64) * np.uint64(_SCRAMBLER)) & modulus
    width = len(prefix) + digits
    text = np.empty((len(numbers), width), dtype=np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix.encode(), dtype=np.uint8)
    for place in range(digits):
        text[:, width - 1 - place] = _DIGITS[(scrambled >> np.uint64(4 * place)) & np.uint64(15)]
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(text))
