"""Policies for tests: the shipped one with some values changed."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml

from health_pipeline.policy.model import TenantHealthPolicy


def tenant_health_policy(**sections: Any) -> TenantHealthPolicy:
    """The shipped policy of tenant health with these values laid over its sections."""
    text = resources.files("health_pipeline.policy").joinpath("default.yaml").read_text(encoding="utf-8")
    return TenantHealthPolicy.model_validate(_changed(yaml.safe_load(text)["tenant_health"], sections))


def _changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, change in changes.items():
        both = isinstance(base.get(key), dict) and isinstance(change, dict) and key != "features"
        result[key] = _changed(base[key], change) if both else change
    return result
