"""Every failpoint × kill -9, SIGSTOP for 30 s then SIGCONT, error, delay; in both profiles."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import orderkeep.roles.run  # noqa: F401  # Every failpoint of the product registers itself.
from orderkeep.kernel.failpoints import FAILPOINTS
from orderkeep.testing.matrix import acts, callbacks, crm, takeover
from orderkeep.testing.matrix.cell import EMBEDDED, PRACTICE_CRM, SCALED_OUT, Cell, Scene
from orderkeep.testing.matrix.clients import Clients
from orderkeep.testing.matrix.verdict import Made, Verdict
from orderkeep.testing.matrix.works import NotReached, Works

STOPPED_S = 30.0
DELAY_MS = 6000
"""Longer than the bridge may take between its intent and the bytes."""
ACTIONS = ("kill", "stop", "error", f"delay={DELAY_MS}")

Act = Callable[[Works, Clients], None]


def nothing_else(_works: Works, _clients: Clients) -> list[str]:
    """The MES and the receipts tell all."""
    return []


@dataclass(frozen=True)
class Way:
    """How a failpoint is reached: in which role, with which settings, and who has to do what."""

    role: str
    passages: tuple[int, int] = (1, 1)
    """From which to which passage it may strike."""
    flags: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    files: bool = False
    floor: bool = False
    before: Act = acts.begin_nothing
    """What has to be there before the process with the failpoint starts."""
    act: Act = acts.nobody_acts
    """What people and machines do until it strikes."""
    settle: Act = acts.nobody_acts
    """What has to be waited for, besides that every order comes to rest."""
    made: Callable[[Works], Made] | None = None
    also: Callable[[Works, Clients], list[str]] = nothing_else
    """What else may have gone wrong, told by another system beside the MES."""


_EARLY = (1, 3)
_FORGOTTEN = {
    "mes_poll": "1h",  # The bridge itself does not learn that anything is missing.
    "reconcile_every": "500ms",
    "reconcile_missing_there": "resend",
}
_FLOOR = Way("office", floor=True, act=acts.operators_work, made=acts.made_on_the_floor)
WAYS: Mapping[str, Way] = {
    "file": Way("door", files=True),
    "accept": Way("door", _EARLY),
    "store": Way("bridge", (3, 15)),
    "relay": Way("relay", _EARLY),
    "transport": Way("bridge", _EARLY),
    "inbox": Way("bridge", _EARLY),
    "quoting": Way("quoter", files=True),
    "order": Way("bridge", (1, 4)),
    "bridge": Way("bridge", _EARLY),
    "bridge.after_look": Way("bridge", flags=("--fault", "reset-after:times=2")),
    "bridge.after_recall": Way("bridge", act=acts.a_client_cancels),
    "pace": Way("bridge", flags=("--fault", "busy:times=3")),
    "feed": Way("bridge", settings={"mes_changes": "on"}),
    "crm": Way(
        "bridge",
        _EARLY,
        settings={"crm_url": PRACTICE_CRM, "crm_pause": "200ms"},
        also=crm.misheard,
    ),
    "callback": Way(
        "door", settings={"mes_callback_secret": callbacks.SECRET}, act=acts.mes_calls_back
    ),
    "claim": _FLOOR,
    "floor": _FLOOR,
    "watch": Way("watch", settings={"rules_lead_time": "1s"}, act=acts.orders_keep_coming),
    "balance": Way("watch"),
    "reconcile": Way(
        "bridge", settings=_FORGOTTEN, before=acts.the_mes_forgets, settle=acts.all_is_made_again
    ),
    "lost.after_look": Way("bridge", before=acts.a_table_is_imported),
    "replay": Way("watch", before=acts.letters_die_and_are_sent_again),
    **dict.fromkeys(
        ("source.before_settle", "source.after_settle"),
        Way(
            "bridge",
            before=takeover.a_shop_shares_its_database,
            act=takeover.the_shop_goes_back,
        ),
    ),
    "source": Way(
        "bridge",
        before=takeover.a_shop_shares_its_database,
        act=takeover.the_shop_sells,
    ),
}
"""By the failpoint's own name, or by what comes before its dot."""
COMMANDS = ("lost.before_import", "lost.after_import")
"""Reached by a command, and not by a role."""


def cells() -> Iterator[Cell]:
    """Every failpoint with every action, in both profiles."""
    for profile in (EMBEDDED, SCALED_OUT):
        for name in sorted(FAILPOINTS):
            for action in ACTIONS:
                yield Cell(profile, name, told(action), partial(strike, name=name, action=action))


def told(action: str) -> str:
    """The action in the table's words."""
    words = {"kill": "kill -9", "stop": f"SIGSTOP {STOPPED_S:.0f} s"}
    return words.get(action, action.replace(f"delay={DELAY_MS}", f"delay {DELAY_MS // 1000} s"))


def way_to(name: str) -> Way:
    """How to reach a failpoint.

    Raises:
        NotReached: nobody has written down how.
    """
    way = WAYS.get(name) or WAYS.get(name.partition(".")[0])
    if way is None:
        raise NotReached("nobody has written down how it is reached")
    return way


def strike(scene: Scene, name: str, action: str) -> Verdict:
    """Let it strike while orders come in, end it, and judge."""
    if name in COMMANDS:
        return acts.strike_the_command(scene, name, action)
    way = way_to(name)
    passage = scene.chance.randint(*way.passages)
    with (
        scene.works(*way.flags, floor=way.floor, settings=way.settings) as works,
        works.clients(with_files=way.files) as clients,
    ):
        way.before(works, clients)
        works.begin(way.role, f"{name}:{action}@{passage}")
        works.wait_until_struck(lambda: way.act(works, clients))
        heal(works, action)
        way.settle(works, clients)
        made = partial(way.made, works) if way.made else None
        verdict = works.verdict(clients, made=made)
        verdict.wrong += way.also(works, clients)
        return verdict


def heal(works: Works, action: str) -> None:
    """What was killed or stopped is started again, as whoever runs it does."""
    if action == "kill":
        works.again()
    elif action == "stop":
        works.wait_until_stopped()
        works.again()
        time.sleep(STOPPED_S)
        works.signal(signal.SIGCONT)
