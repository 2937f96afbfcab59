"""The command health-pipeline as a process of its own, which may be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from health_pipeline.days import DayRange

_PROGRAM = Path(sys.executable).with_name("health-pipeline")
_MOST_SECONDS = 300


class Backfill:
    """A backfill that has been started, with `more` arguments; what it says goes to a file."""

    def __init__(self, settings: Mapping[str, str], days: DayRange, log: Path, *more: str) -> None:
        environment = {name: text for name, text in os.environ.items() if not name.startswith(("HEALTH_", "DAGSTER_"))}
        command: list[str | Path] = [_PROGRAM, "backfill", "--from", str(days.first), "--to", str(days.last), *more]
        self.began = time.monotonic()
        self._log = log
        with log.open("w") as output:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            self._process = subprocess.Popen(command, env={**environment, **settings}, cwd=log.parent, **streams)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL: the process can do nothing about it."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """The exit code; negative where it was killed. Raises subprocess.TimeoutExpired if it never ends."""
        try:
            return self._process.wait(_MOST_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8")
