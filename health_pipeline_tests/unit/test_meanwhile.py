"""Work in a thread beside other work: both are done, or the error of one of them is told."""

from __future__ import annotations

import threading
import time

import pytest

from health_pipeline.systems.common import meanwhile


def test_both_are_done_at_the_end() -> None:
    done = []

    def work(_stop: threading.Event) -> None:
        time.sleep(0.1)
        done.append("work")

    with meanwhile(work):
        done.append("block")
    assert done == ["block", "work"]


def test_the_error_of_the_work_is_told() -> None:
    def work(_stop: threading.Event) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), meanwhile(work):
        pass


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_if_the_block_fails_the_work_stops_before_that_is_told(error: type[BaseException]) -> None:
    stopped = []

    def work(stop: threading.Event) -> None:
        assert stop.wait(20)
        stopped.append(True)
        raise InterruptedError

    with pytest.raises(error), meanwhile(work):
        raise error
    assert stopped == [True]
