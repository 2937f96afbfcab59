"""Work in a thread beside other work: both are done, or the error of one of them is told."""

from __future__ import annotations

import threading
import time

import pytest

from health_pipeline.systems.meanwhile import meanwhile


def test_all_is_done_at_the_end_one_after_the_other() -> None:
    done = []

    def work() -> str:
        time.sleep(0.1)
        done.append("work")
        return "result"

    with meanwhile() as thread:
        result = thread.begin(work)
        thread.begin(lambda: done.append(f"more, after {result()}"))
        done.append("block")
    assert done == ["block", "work", "more, after result"]


def test_without_a_thread_it_is_done_at_once() -> None:
    done = []
    with meanwhile(has_thread=False) as thread:
        thread.begin(lambda: done.append(threading.current_thread()))
        done.append(None)
    assert done == [threading.current_thread(), None]


@pytest.mark.parametrize("has_thread", [True, False])
def test_the_error_of_the_work_is_told(has_thread: bool) -> None:
    def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), meanwhile(has_thread=has_thread) as thread:
        result = thread.begin(work)
        thread.begin(result)


def test_who_waits_for_work_that_fails_is_told_too() -> None:
    def work() -> None:
        raise ValueError("no")

    reached = []
    with pytest.raises(ValueError, match="no"), meanwhile() as thread:
        result = thread.begin(work)
        result()
        reached.append(True)
    assert not reached


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_if_the_block_fails_the_work_stops_before_that_is_told(error: type[BaseException]) -> None:
    stopped, begun = [], threading.Event()

    with pytest.raises(error), meanwhile() as thread:

        def work() -> None:
            begun.set()
            assert thread.stop.wait(20)
            stopped.append("first")
            raise InterruptedError

        thread.begin(work)
        thread.begin(lambda: stopped.append("what was to come after it"))
        assert begun.wait(20)
        raise error
    assert stopped == ["first"]
