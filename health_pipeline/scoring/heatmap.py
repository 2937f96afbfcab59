"""A month of activity as a picture, the way contribution graphs look: a column per week, a square per day, darker with more
events. Written as PNG with the standard library alone: a palette image is a few bytes around zlib's output.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from health_pipeline.days import DayRange, sunday_of

DAYS = 30
_SQUARE, _GAP, _MARGIN = 22, 5, 12  # pixels
_DAYS_PER_WEEK = 7
# Paper, then no events, then four levels of events.
_PALETTE = ((255, 255, 255), (235, 237, 240), (155, 215, 180), (82, 183, 136), (38, 130, 88), (13, 82, 52))
_NO_EVENTS = 1
_LEVELS = 4


def month_of(last_day: date) -> DayRange:
    """The 30 days up to last_day."""
    return DayRange(last_day - timedelta(days=DAYS - 1), last_day)


def heatmap_png(events: Mapping[date, int], last_day: date) -> bytes:
    """The 30 days up to last_day as a PNG: weeks from left to right, each from Sunday at the top to Saturday.

    events: by day; a day that isn't there had none. Other days don't count.
    """
    days = month_of(last_day)
    first_sunday = sunday_of(days.first)
    weeks = (days.last - first_sunday).days // _DAYS_PER_WEEK + 1
    most = max((events.get(day, 0) for day in days), default=0)
    pixels = np.zeros((_size(_DAYS_PER_WEEK), _size(weeks)), dtype=np.uint8)
    for day in days:
        week, weekday = divmod((day - first_sunday).days, _DAYS_PER_WEEK)
        top, left = (_MARGIN + place * (_SQUARE + _GAP) for place in (weekday, week))
        pixels[top : top + _SQUARE, left : left + _SQUARE] = _shade(events.get(day, 0), most)
    return _png(pixels)


def _size(squares: int) -> int:
    return 2 * _MARGIN + squares * _SQUARE + (squares - 1) * _GAP


def _shade(events: int, most: int) -> int:
    """A day's colour: one of four levels by its share of the busiest day, at least the lowest with any event."""
    return _NO_EVENTS if events == 0 else _NO_EVENTS - (-_LEVELS * events // most)


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """The palette image as PNG: signature, header, palette, rows (each after its filter, 0: none), end."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = np.hstack([np.zeros((height, 1), dtype=np.uint8), pixels]).tobytes()
    palette = bytes(value for colour in _PALETTE for value in colour)
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
