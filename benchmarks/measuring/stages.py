"""What the stages of a run in this process take: each second belongs to the innermost stage that is under way.

Where several threads are at work, they share each second evenly.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

Costs = dict[str, dict[str, float]]
"""Stage -> wall and cpu, both in seconds."""


@dataclass(frozen=True)
class Point:
    """A function of the pipeline whose time is a stage's. owner: the module or class that has it.

    kind: function; factory (what it returns is the function); generator (the time of its steps, not of what is done with
    each); context (entering and leaving).
    """

    owner: Any
    name: str
    stage: str
    kind: str = "function"


class StageClock:
    """cpu: processor seconds so far of everything that works for the run."""

    def __init__(self, cpu: Callable[[], float]) -> None:
        self._cpu = cpu
        self._changing = threading.Lock()
        self._under_way: dict[int, list[str]] = {}
        self._since = (0.0, 0.0)
        self.costs: Costs = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside for the stage, and not for the one around it."""
        thread = threading.get_ident()
        with self._changing:
            self._settle()
            self._under_way.setdefault(thread, []).append(name)
        try:
            yield
        finally:
            with self._changing:
                self._settle()
                self._under_way[thread].pop()

    def _settle(self) -> None:
        now = (time.perf_counter(), self._cpu())
        innermost = [stages[-1] for stages in self._under_way.values() if stages]
        for stage in innermost:
            cost = self.costs.setdefault(stage, {"wall": 0.0, "cpu": 0.0})
            cost["wall"] += (now[0] - self._since[0]) / len(innermost)
            cost["cpu"] += (now[1] - self._since[1]) / len(innermost)
        self._since = now

    def attach(self, points: list[Point]) -> None:
        """Let the functions at these points tell this clock of their time, for the rest of this process' life.

        Raises AttributeError where the pipeline has no such function any more: then the list of points is out of date.
        """
        wrap: dict[str, Callable[[Callable[..., Any], str], Callable[..., Any]]] = {
            "function": self._function,
            "factory": self._factory,
            "generator": self._generator,
            "context": self._context,
        }
        for point in points:
            function = getattr(point.owner, point.name)
            setattr(point.owner, point.name, wrap[point.kind](function, point.stage))

    def _function(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(stage):
                return function(*args, **kwargs)

        return timed

    def _factory(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            return self._function(function(*args, **kwargs), stage)

        return timed

    def _generator(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Iterator[Any]:
            steps = iter(function(*args, **kwargs))
            while True:
                with self.stage(stage):
                    try:
                        value = next(steps)
                    except StopIteration:
                        return
                yield value

        return timed

    def _context(self, function: Callable[..., AbstractContextManager[Any]], stage: str) -> Callable[..., Any]:
        @contextmanager
        def timed(*args: Any, **kwargs: Any) -> Iterator[Any]:
            manager = function(*args, **kwargs)
            with self.stage(stage):
                value = manager.__enter__()
            try:
                yield value
            except BaseException as error:
                with self.stage(stage):
                    is_handled = manager.__exit__(type(error), error, error.__traceback__)
                if not is_handled:
                    raise
            else:
                with self.stage(stage):
                    manager.__exit__(None, None, None)

        return timed
