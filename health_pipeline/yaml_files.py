"""Reading a YAML file that a user wrote: what can't be read, or silently says something twice, is refused in one line."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from health_pipeline.errors import UserError


def read_yaml(path: Path, what: str, setting: str, error_type: type[UserError]) -> dict[str, Any]:
    """The file's keys and values; empty for an empty file.

    what, setting: what the file is and which setting names it, for the message of `error_type`.
    """
    try:
        given = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise error_type(f"{what} {path}: can't be read: {error.strerror}; {setting} must name a file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise error_type(f"{what} {path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise error_type(f"{what} {path}: expected keys and values, found a {type(given).__name__}")
    return given


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that is given twice, which YAML would silently overwrite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
