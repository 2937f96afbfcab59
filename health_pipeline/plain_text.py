"""Text from elsewhere, made safe to be shown on one line."""

from __future__ import annotations

import unicodedata

_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def one_line(text: str, longest: int) -> str:
    """The text on one line: without control characters and the marks that turn the writing direction, cut when overlong."""
    kept = (" " if char.isspace() else char for char in text if char.isspace() or not _is_control(char))
    words = " ".join("".join(kept).split())
    return words if len(words) <= longest else words[: longest - 1].rstrip() + "…"


def _is_control(char: str) -> bool:
    return unicodedata.bidirectional(char) in _DIRECTIONS or unicodedata.category(char) in {"Cc", "Cs"}
