"""Telling whether a process is still the one that executed a run."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from health_pipeline.orchestration.workers import is_alive


def test_a_process_that_was_there_is_alive_until_it_ends() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert is_alive(process.pid, time.time())
        process.kill()
        # Dead, and not yet asked for by its parent: its number is still taken.
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT) is None:
            time.sleep(0.01)
        assert not is_alive(process.pid, time.time())
    finally:
        process.kill()
        process.communicate()
    assert not is_alive(process.pid, time.time())


def test_another_process_of_the_same_number_is_not_it() -> None:
    """As after a restart of the machine: this process began after the instant at which the run did."""
    assert is_alive(os.getpid(), time.time())
    assert not is_alive(os.getpid(), time.time() - 100_000_000)
