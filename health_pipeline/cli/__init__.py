"""The command health-pipeline. What belongs here: arguments, progress, summaries. Rule: interface.md."""

from health_pipeline.cli.main import main

__all__ = ["main"]
