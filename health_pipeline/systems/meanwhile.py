"""Work in a thread beside other work: both are done, or the error of one of them is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")


class Meanwhile:
    """What is done beside a block, one work after the other. stop: says that the block has failed, and work may end."""

    def __init__(self, thread: ThreadPoolExecutor | None) -> None:
        self.stop = threading.Event()
        self.begun: list[Future[Any]] = []
        self._thread = thread

    def begin(self, work: Callable[[], Result]) -> Callable[[], Result]:
        """What it gives waits for the result, or raises the error of the work. Without a thread the work is done now."""
        if self._thread is None:
            result = work()
            return lambda: result
        self.begun.append(self._thread.submit(work))
        return self.begun[-1].result


@contextmanager
def meanwhile(*, has_thread: bool = True) -> Iterator[Meanwhile]:
    """All that the block begins is done at its end. If it fails, work is told to stop; if work fails, its error is raised."""
    with ThreadPoolExecutor(1, thread_name_prefix="meanwhile") as thread:
        beside = Meanwhile(thread if has_thread else None)
        try:
            yield beside
            for done in beside.begun:
                done.result()
        except BaseException:
            beside.stop.set()
            thread.shutdown(cancel_futures=True)
            raise
