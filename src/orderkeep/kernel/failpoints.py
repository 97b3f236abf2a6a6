"""Named places where a test may kill, stop or fail the process: before and after durable steps.

``ORDERKEEP_FAILPOINT=bridge.after_send:kill@3`` kills at the third passage. Obeyed only when
``roles`` or the simulation installs a handler, which they do only in test mode.
"""

from collections.abc import Callable

FAILPOINTS: dict[str, str] = {}
"""Every failpoint by name, with what is on disk when the process dies there."""

_handler: Callable[[str], None] | None = None


def failpoint(name: str, meaning: str) -> str:
    """Register a failpoint once, beside the step it guards; returns its name."""
    FAILPOINTS[name] = meaning
    return name


def reach(name: str) -> None:
    """Pass a failpoint; free of cost unless a handler is installed."""
    if _handler is not None:
        _handler(name)


def install(handler: Callable[[str], None] | None) -> None:
    """Let a handler decide what happens at each failpoint; None removes it."""
    global _handler  # noqa: PLW0603  # One process, one handler: a test's last resort.
    _handler = handler
