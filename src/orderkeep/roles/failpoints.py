"""Turns ``ORDERKEEP_FAILPOINT`` into deeds; only in test mode.

``name:action@n``, several separated by commas: at the n-th passage (1 without ``@n``) of the
failpoint ``kill`` (SIGKILL), ``stop`` (SIGSTOP), ``error`` or ``delay=MILLISECONDS``.
"""

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable

import structlog

from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.kernel.failpoints import FAILPOINTS, install

_ONE = re.compile(r"([a-z_.]+):(kill|stop|error|delay=\d{1,6})(?:@(\d{1,6}))?")


log = structlog.get_logger()


class FailpointError(RuntimeError):
    """A failpoint was told to fail."""


def arm(spec: str) -> None:
    """Install what the text asks for.

    Raises:
        Invalid: it is not of the form above, or names a failpoint that there is not.
    """
    plan: dict[str, tuple[str, int]] = {}
    for part in spec.split(","):
        match = _ONE.fullmatch(part.strip())
        if not match or match[1] not in FAILPOINTS:
            known = ", ".join(sorted(FAILPOINTS))
            raise Invalid([Fault("ORDERKEEP_FAILPOINT", "wrong", f"name:action@n of: {known}")])
        plan[match[1]] = (match[2], int(match[3] or 1))
    install(_handler(plan))


def _handler(plan: dict[str, tuple[str, int]]) -> Callable[[str], None]:
    passages: Counter[str] = Counter()

    def pass_by(name: str) -> None:
        if name not in plan:
            return
        passages[name] += 1
        action, at = plan[name]
        if passages[name] == at:
            # Said before it is done: who is killed here says nothing more.
            log.warning("failpoint.struck", failpoint=name, action=action, passage=at)
            _do(action)

    return pass_by


def _do(action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "error":
        raise FailpointError("a failpoint was told to fail")
    else:
        time.sleep(int(action.partition("=")[2]) / 1000)
