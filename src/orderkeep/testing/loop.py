"""An event loop without clock, selector or threads: the same steps in the same order, always."""

import asyncio
from asyncio import Future, Handle, Task, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

# Typed as anything: the signatures of asyncio's loops are generic beyond what can be overridden.
_Base: Any = asyncio.AbstractEventLoop


class SimLoop(_Base):  # type: ignore[misc]  # See above.
    """Runs what is ready, one handle after the other; timers never fire, threads run at once."""

    def __init__(self) -> None:
        self._handles: deque[Handle] = deque()

    def run_ready(self, stopped: Callable[[], bool]) -> None:
        """Go on until everything waits for something from outside, or ``stopped`` says so."""
        asyncio._set_running_loop(self)  # noqa: SLF001  # Documented for authors of event loops.
        try:
            while self._handles and not stopped():
                handle = self._handles.popleft()
                if not handle.cancelled():
                    handle._run()  # noqa: SLF001  # What every event loop calls.
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001  # See above.

    # --- what asyncio asks of a loop ------------------------------------------------------------

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Handle:
        handle = Handle(callback, args, self, context)
        self._handles.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Handle:
        return self.call_soon(callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> TimerHandle:
        return TimerHandle(when, callback, args, self, context)

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> TimerHandle:
        return self.call_at(delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """Nothing waits for a timer here."""

    def create_future(self) -> "Future[Any]":
        return Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Any = None
    ) -> "Task[Any]":
        return Task(coro, loop=self, name=name, context=context)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> "Future[Any]":
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # Whatever it was belongs to its caller.
            future.set_exception(error)
        return future

    def time(self) -> float:
        return 0.0

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nobody asked for that outcome any more: its process was killed."""
