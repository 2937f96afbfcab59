"""Fixtures of the other integration tests."""

from health_pipeline_tests.integration.conftest import reader

__all__ = ["reader"]
