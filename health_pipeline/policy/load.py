"""Loading a policy file over the shipped default; a wrong one is refused with the key and the reason."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from health_pipeline.errors import PolicyError
from health_pipeline.policy.model import Policy
from health_pipeline.yaml_files import read_yaml

# Lists of names that a policy gives as a whole: merging them would keep entries that the policy meant to drop.
_REPLACED = {"features", "size_bands"}


@cache
def load_policy(path: Path | None) -> Policy:
    """The shipped policy, or the file's differences laid over it. Raises PolicyError with the key and the reason."""
    shipped = yaml.safe_load(resources.files(__package__).joinpath("default.yaml").read_text(encoding="utf-8"))
    if path is None:
        return Policy.model_validate(shipped)
    given = read_yaml(path, "policy", "HEALTH_POLICY", PolicyError)
    try:
        return Policy.model_validate(_laid_over(shipped, given))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = "unknown key"
        raise PolicyError(f"policy {path}: {key}: {message}") from error


def _laid_over(base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in given.items():
        both = isinstance(base.get(key), dict) and isinstance(value, dict) and key not in _REPLACED
        merged[key] = _laid_over(base[key], value) if both else value
    return merged
