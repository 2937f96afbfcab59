"""Running health-pipeline as a user does: a process of its own with an environment of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

PROGRAM = Path(sys.executable).with_name("health-pipeline")
ROOT = Path(__file__).parents[2]


def environment(settings: Mapping[str, str | Path]) -> dict[str, str]:
    """This process' environment without settings of its own, with those given (in full names)."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(("HEALTH_", "DAGSTER_"))}
    # A terminal of this width, so that no table is cut.
    return inherited | {"COLUMNS": "200"} | {name: str(text) for name, text in settings.items()}


def health_pipeline(
    settings: Mapping[str, str | Path], *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [PROGRAM, *arguments],
        env=environment(settings),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def start(settings: Mapping[str, str | Path], *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start the command and leave it running; its output goes nowhere."""
    return subprocess.Popen(
        [PROGRAM, *arguments],
        env=environment(settings),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def processes_of(home: Path) -> list[psutil.Process]:
    """The living processes that belong to a HEALTH_HOME: by their environment or their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            is_told = process.environ().get("HEALTH_HOME") == str(home)
            if is_told or any(str(home) in argument for argument in process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def end_processes_of(home: Path) -> None:
    """Kill what runs in this home at one moment, as a machine that goes down does: none sees another end."""
    ending = processes_of(home)
    for end in (psutil.Process.suspend, psutil.Process.kill):
        for process in ending:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process)
    psutil.wait_procs(ending, 10)


def assert_one_line(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    """The command failed, and said why in one line."""
    assert result.returncode == 1, (result.stdout, result.stderr)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    for part in parts:
        assert part in result.stderr
