"""A worker as the runner sees it: told to make a run, it answers with what that took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from benchmarks.command import ROOT, failure
from benchmarks.plan import Measured, Plan


@dataclass(frozen=True)
class Worker:
    """A process for one kind of run (worker.py)."""

    arguments: Sequence[str]
    process: subprocess.Popen[str]
    errors: IO[str]

    def run(self) -> Measured:
        """One more run. Raises RuntimeError with the end of the process' errors if it fails."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        # One that has ended by itself answers nothing.
        with suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.process.wait()
            raise RuntimeError(failure(self.arguments, self.errors))
        return Measured(**json.loads(answer))


@contextmanager
def worker(kind: str, plan: Plan, environment: Mapping[str, str]) -> Iterator[Worker]:
    """A worker for this kind of run, which ends when it is no longer needed."""
    arguments = [sys.executable, "-m", "benchmarks.worker", kind, plan.to_json()]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            arguments,
            env={**os.environ, **environment},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield Worker(arguments, process, errors)
        finally:
            process.communicate()
