#!/usr/bin/env python3
"""Photograph every screen of the office in a real browser: widths, languages and states.

Two real offices are started: one with the practice month, one with nothing in it. States:
``filled`` and ``empty`` are what they hold; ``loading`` is an answer that does not come, ``failed``
an office that answers with an error, ``stale`` a connection lost after the page was shown.
Last of all something really goes wrong, for the screens that say so.
The pictures go to ``var/shots/<screen>/<width>-<language>-<state>.png``.
"""

import argparse
import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import (
    Browser,
    BrowserContext,
    FilePayload,
    Page,
    Route,
    sync_playwright,
)

from orderkeep.bridge.sentences import MES_SILENT
from orderkeep.delivery.dead_letters import Source, fingerprint_of
from orderkeep.delivery.sentences import NOT_AN_ENVELOPE
from orderkeep.kernel.ids import order_no
from orderkeep.ledger.sentences import SAYS_OTHERWISE, SHOWS_NONE
from orderkeep.practice.rings import ring
from orderkeep.practice.seed import PASSWORD
from orderkeep.testing import shared_shop
from orderkeep.testing.browser import PEOPLE
from orderkeep.testing.practice_mes import PracticeCrmProcess

ROOT = Path(__file__).resolve().parent.parent
SHOTS = ROOT / "var" / "shots"
ORDERKEEP = Path(sys.executable).with_name("orderkeep")
DATA = re.compile(r"/office/v1/(?!me$|session$)")
STATES = ("filled", "loading", "empty", "stale", "failed")
WIDTHS = {1440: 900, 390: 844}
LANGUAGES = ("ru", "en")
SETTLED_MS = 1200
UNDER_THE_BAR = "(one) => { one.scrollIntoView(); window.scrollBy(0, -64) }"
STALE_MS = 9000
TALLEST = 2600
"""How much of a long page is seen at most."""
LENGTH = "main => Math.max(main.scrollHeight, document.documentElement.scrollHeight) + 56"
MODEL: FilePayload = {
    "name": "signet-17.stl",
    "mimeType": "model/stl",
    "buffer": ring("signet", seed=7),
}


Play = Callable[[Page], None]
"""What somebody does at a screen before it is photographed."""


def _looks(page: Page) -> None:
    """Do nothing but look."""


def _chooses_a_model(page: Page) -> None:
    page.locator("input[type=file]").first.set_input_files(MODEL)


def _begins_an_order(page: Page) -> None:
    """Half of a new order: a model without its material, a piece, a name and a telephone number."""
    _chooses_a_model(page)
    page.get_by_role("button", name=re.compile("Ready-made piece|Готовое изделие")).click()
    page.locator("select").last.select_option(index=1)
    page.locator("[id=field-customer-name]").fill("Анна Петрова")
    page.locator("[id=field-customer-phone]").fill("+7 900 123-45-67")
    page.get_by_text(re.compile("Draft saved|Черновик сохранён")).wait_for()


def _forgets_half(page: Page) -> None:
    """Send it with what is missing: each fault stands at its field."""
    _begins_an_order(page)
    page.locator("[id=field-customer-email]").fill("anna")
    page.locator("button[type=submit]").last.click()


def _opens_the_drafts(page: Page) -> None:
    page.locator("main details summary").first.click()


def _opens_the_first(page: Page) -> None:
    page.locator("main li button").first.click()


def _presses(*keys: str) -> Play:
    def play(page: Page) -> None:
        for key in keys:
            page.keyboard.press(key)

    return play


class Screen(NamedTuple):
    """A screen: who looks at it, where, and what of it is photographed."""

    name: str
    login: str
    path: str
    states: tuple[str, ...] = STATES
    languages: tuple[str, ...] = LANGUAGES
    below: str = ""
    """What to scroll to, where it is not at the top."""
    play: Play = _looks
    """What is done on it, where it is not empty."""
    whole: bool = False
    """Whether all of it is photographed where it is filled, and not only what a screen shows."""
    widths: tuple[int, ...] = tuple(WIDTHS)
    wrong: bool = False
    """Whether it is looked at when something has gone wrong."""


FILLED = ("filled",)
SCREENS = (
    Screen("sign-in", "", "/sign-in", states=FILLED),
    Screen("board", "nikolai", "/board?view=table"),
    Screen("board-row", "ivan", "/board?view=table", FILLED, play=_presses("j"), widths=(1440,)),
    Screen("work", "ivan", "/board?view=work"),
    Screen("keys", "ivan", "/board?view=work", FILLED, play=_presses("?"), widths=(1440,)),
    Screen("ask", "ivan", "/board?view=work", FILLED, play=_presses("j", "h")),
    Screen("approvals", "olga", "/approvals"),
    Screen("order", "olga", "/orders/{order}", whole=True),
    Screen("order-why", "olga", "/orders/{order}", FILLED, ("ru",), play=_presses("x"), whole=True),
    *(
        Screen(
            f"order-{tab}",
            "olga",
            f"/orders/{{order}}?tab={tab}",
            states=FILLED,
            languages=("ru",),
            below="[role=tablist]",
        )
        for tab in ("hops", "price", "files", "times")
    ),
    Screen("submit", "olga", "/submit", play=_chooses_a_model),
    Screen("submit-begun", "olga", "/submit", FILLED, play=_begins_an_order, whole=True),
    Screen("submit-faults", "olga", "/submit", FILLED, play=_forgets_half, whole=True),
    Screen("submit-drafts", "olga", "/submit", FILLED, play=_opens_the_drafts),
    Screen("search", "vera", "/search?q={order}"),
    Screen("balance", "vera", "/balance", whole=True),
    Screen("reconcile", "vera", "/balance/mes"),
    Screen("lost", "vera", "/balance/lost", whole=True),
    Screen("dead-letters", "vera", "/dead-letters", whole=True),
    Screen("dead-letters-group", "vera", "/dead-letters?group={group}", FILLED, whole=True),
    Screen("systems", "vera", "/destinations", whole=True),
    Screen("not-understood", "vera", "/unknown", whole=True),
    Screen("not-understood-open", "vera", "/unknown", FILLED, play=_opens_the_first),
    Screen("taking-over", "admin", "/sources", whole=True),
    Screen("people", "admin", "/people", whole=True),
    Screen("partners", "admin", "/partners", whole=True),
    Screen("wrong-board", "vera", "/board?view=table", FILLED, wrong=True),
    Screen("wrong-reconcile", "vera", "/balance/mes", FILLED, whole=True, wrong=True),
    Screen("wrong-balance", "vera", "/balance", FILLED, whole=True, wrong=True),
    Screen("wrong-crm", "vera", "/orders/{order}?tab=related", FILLED, whole=True, wrong=True),
)


class Office:
    """A real office in a folder of its own, and an order to look for in it."""

    order = "OK-002008"
    group = ""
    crm = ""
    """Where a CRM is that it does not know yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._settings: dict[str, str] = {}
        self._port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, where it was before if it has been started before."""
        self._process = subprocess.Popen(
            [ORDERKEEP, "run", "--port", "0", "--office-port", str(self._port)],
            cwd=self.folder,
            env=_environment() | self._settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._port = _office_port(self._process)

    def meets_the_crm(self) -> None:
        """From now on it tells the CRM, and is compared with it."""
        if not self._settings:
            self.stop()
            self._settings = {"ORDERKEEP_CRM_URL": self.crm}
            self.start()

    def stop(self) -> None:
        """Stop it in good order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)


def main() -> None:
    """Take all pictures, or those of one screen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--screen", action="append", help="only this screen; may be repeated")
    parser.add_argument("--state", action="append", choices=STATES, help="only so; may be repeated")
    chosen = parser.parse_args()
    states = chosen.state or STATES
    screens = [
        one._replace(states=tuple(state for state in one.states if state in states))
        for one in SCREENS
        if not chosen.screen or one.name in chosen.screen
    ]
    with filled_office() as filled, empty_office() as empty, browser() as chromium:
        filled.order = _richest_order(chromium, filled)
        filled.group = _first_group(chromium, filled)
        _link_a_release(chromium, filled)
        taken = 0
        for screen in sorted(screens, key=lambda one: one.wrong):
            if screen.wrong:  # Anew for each: what is new is told for an hour.
                _goes_wrong(chromium, filled)
            taken += _photograph(chromium, screen, filled, empty)
            sys.stderr.write(f"\r{taken} pictures, {screen.name:<10}")
    sys.stderr.write("\n")
    sys.stdout.write(f"{SHOTS}\n")


def _photograph(chromium: Browser, screen: Screen, filled: Office, empty: Office) -> int:
    """Every picture of one screen; returns how many."""
    (SHOTS / screen.name).mkdir(parents=True, exist_ok=True)
    looks = [(width, language) for width in screen.widths for language in screen.languages]
    for state in screen.states:
        if state == "stale":
            _lose_connection(chromium, screen, filled, looks)
            continue
        for look in looks:
            office = empty if state == "empty" else filled
            with visitor(chromium, office, screen, *look) as page, _answers(page, state):
                _show(page, office, screen, played=state == "filled")
                if screen.whole and state == "filled":
                    _stretch(page)
                _shoot(page, screen, look, state)
    return len(screen.states) * len(looks)


def _richest_order(chromium: Browser, office: Office) -> str:
    """The order in work that has lived through most."""
    page = _asks(chromium, office, "olga", "/board?stage=MANUFACTURING_STARTED&limit=100")
    return str(max(page["items"], key=lambda row: row["version"])["order_no"])


def _first_group(chromium: Browser, office: Office) -> str:
    """The dead letters that grew last, of those that somebody may edit."""
    page = _asks(chromium, office, "vera", "/dead-letters")
    return str(next(one for one in page["groups"] if one["source"] == "inbox")["fingerprint"])


def _link_a_release(chromium: Browser, office: Office) -> None:
    """Somebody has taken the group on, and knows what mends it."""
    known = {
        "owner": "vera",
        "note": "С понедельника в MES нет артикула платины.\nОбновили справочник, ждём выпуска.",
        "release": "https://mes.example/releases/2026.11.3",
    }
    _asks(chromium, office, "vera", f"/dead-letters/groups/{office.group}/note", known)


def _asks(
    chromium: Browser, office: Office, login: str, path: str, body: dict[str, Any] | None = None
) -> Any:
    """What the office answers to somebody who asks it, or tells it something."""
    context = chromium.new_context(storage_state=_session(chromium, office, login))
    answer = context.request.fetch(
        f"{office.address}/office/v1{path}",
        method="GET" if body is None else "POST",
        data=body,
        headers={"X-Requested-With": "orderkeep"},
    )
    if not answer.ok:
        sys.exit(f"{path}: {answer.status} {answer.text()}")
    said = answer.json()
    context.close()
    return said


def _lose_connection(
    chromium: Browser, screen: Screen, office: Office, looks: list[tuple[int, str]]
) -> None:
    """Show the screen, and then let the office really go away."""
    with contextlib.ExitStack() as stack:
        pages = []
        for look in looks:  # One after the other: a person speaks one language at a time.
            pages.append(stack.enter_context(visitor(chromium, office, screen, *look)))
            _show(pages[-1], office, screen, played=True)
        office.stop()
        pages[0].wait_for_timeout(STALE_MS)
        for page, look in zip(pages, looks, strict=True):
            _shoot(page, screen, look, "stale")
    office.start()


@contextlib.contextmanager
def _answers(page: Page, state: str) -> Iterator[None]:
    """The answers of this state; those that are held back are given up at the end."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    if state == "loading":
        page.route(DATA, hold)
    if state == "failed":
        page.route(DATA, _broken)
    yield
    while held:
        held.pop().abort()
    page.unroute_all(behavior="ignoreErrors")


def _show(page: Page, office: Office, screen: Screen, *, played: bool) -> None:
    path = screen.path.format(order=office.order, group=office.group)
    page.goto(office.address + path, wait_until="commit")
    page.locator("main").wait_for()
    page.wait_for_timeout(SETTLED_MS)
    if screen.below:
        page.locator(screen.below).evaluate(UNDER_THE_BAR)
    if played and screen.play is not _looks:
        screen.play(page)
        page.wait_for_timeout(SETTLED_MS)


def _stretch(page: Page) -> None:
    """A screen as long as the page: what is scrolled to is looked at, too."""
    width, height = page.evaluate("[innerWidth, innerHeight]")
    wanted = min(TALLEST, max(height, page.locator("main").evaluate(LENGTH)))
    page.set_viewport_size({"width": width, "height": wanted})
    page.wait_for_timeout(SETTLED_MS)


def _shoot(page: Page, screen: Screen, look: tuple[int, str], state: str) -> None:
    width, language = look
    page.screenshot(path=SHOTS / screen.name / f"{width}-{language}-{state}.png")


def _broken(route: Route) -> None:
    body = '{"type":"/problems/internal","title":"Internal error","status":500}'
    route.fulfill(status=500, body=body, content_type="application/problem+json")


# --- the far side ---------------------------------------------------------------------------------


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium, the one that make found."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=os.environ["ORDERKEEP_CHROMIUM"],
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()


_signed_in: dict[tuple[str, str], Any] = {}


@contextlib.contextmanager
def visitor(
    chromium: Browser, office: Office, screen: Screen, width: int, language: str
) -> Iterator[Page]:
    """A page of somebody who has signed in and speaks the language."""
    context = chromium.new_context(
        viewport={"width": width, "height": WIDTHS[width]},
        locale=f"{language}-{language.upper()}",
        storage_state=_session(chromium, office, screen.login) if screen.login else None,
    )
    context.add_init_script(f"localStorage.setItem('orderkeep.locale', '{language}')")
    if screen.login:
        _speak(context, office, language)
    yield context.new_page()
    context.close()


def _session(chromium: Browser, office: Office, login: str) -> Any:
    key = (office.address, login)
    if key not in _signed_in:
        context = chromium.new_context()
        answer = context.request.post(
            f"{office.address}/office/v1/session",
            data={"login": login, "password": PASSWORD},
            headers={"X-Requested-With": "orderkeep"},
        )
        if not answer.ok:
            sys.exit(f"{login} cannot sign in: {answer.status}")
        _signed_in[key] = context.storage_state()
        context.close()
    return _signed_in[key]


def _speak(context: BrowserContext, office: Office, language: str) -> None:
    context.request.patch(
        f"{office.address}/office/v1/me",
        data={"locale": language},
        headers={"X-Requested-With": "orderkeep"},
    )


@contextlib.contextmanager
def filled_office() -> Iterator[Office]:
    """An office with the practice month."""

    def fill(folder: Path, environment: dict[str, str]) -> None:
        code = (
            "import asyncio, os, pathlib\n"
            "from datetime import UTC, datetime\n"
            "from orderkeep.config import load\n"
            "from orderkeep.practice.seed import seed\n"
            "settings, _ = load(os.environ, pathlib.Path())\n"
            "asyncio.run(seed(settings, datetime.now(UTC), lambda done, of: None))\n"
        )
        _sell_elsewhere(folder)
        _call([sys.executable, "-c", code], folder, environment)
        _put_aside(folder / "var" / "orderkeep.db")
        _call([str(ORDERKEEP), "import", "lost", "lost.csv"], folder, environment)

    with (
        tempfile.TemporaryDirectory() as name,
        PracticeCrmProcess(Path(name) / "crm.jsonl") as crm,
        _office(fill) as office,
    ):
        crm.behave(refuses=["MANUFACTURING_STARTED"])
        office.crm = crm.address
        yield office


UNKNOWN = (
    # source, name, hours ago, why, body
    ("mes", "w-7", 1, "unknown-order", {"ref": "OK-999999", "status": "started"}),
    ("crm", "c-31", 26, "unknown-command: refund", {"order_no": "OK-002008", "command": "refund"}),
    ("shop", "", 49, "unreadable", "<html><body>502 Bad Gateway</body></html>"),
)


def _sell_elsewhere(folder: Path) -> None:
    """A shop that hands over through its database, and a list of orders that it lost."""
    shared_shop.opens(folder)
    shared_shop.sells(folder)
    (folder / "lost.csv").write_text("number\nWEB-118\nWEB-121\nWEB-140\n", encoding="utf-8")


LETTERS = (
    # consumer, kind, how many, hours ago, why
    ("bridge", "work_order.wanted", 4, 2, "MesRejected: no such material in position {n}"),
    ("quoting", "price.wanted", 9, 30, "ModelFileRejected: not closed near triangle {n}"),
    ("nobody", "order.changed", 3, 200, "nobody takes this kind"),
)


def _put_aside(path: Path) -> None:
    """What stands still, as it would be after a bad fortnight; the orders are real ones."""
    now = int(time.time())
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        newest = raw.execute("SELECT n FROM orders ORDER BY n DESC LIMIT 30").fetchall()
        orders = [order_no(n) for (n,) in newest]
        for consumer, kind, count, ago, why in LETTERS:
            for n in range(count):
                no, at = orders[n], (now - ago * 3600 - n * 50_000) * 1_000_000
                body = json.dumps({"order_no": no, "version": 1}).encode()
                died_of = why.format(n=n)
                group = fingerprint_of(Source.INBOX, consumer, kind, died_of)
                raw.execute(
                    "INSERT INTO inbox (consumer, message_id, kind, schema_version, order_key, at,"
                    " trace_id, body, received_at, attempts, next_at, dead_at, why, fingerprint)"
                    " VALUES (?, ?, ?, 1, ?, ?, '', ?, ?, 8, 0, ?, ?, ?)",
                    (consumer, f"shot-{kind}-{n}", kind, no, at, body, at, at, died_of, group),
                )
        unreadable = NOT_AN_ENVELOPE(quote="kind is missing")
        raw.execute(
            "INSERT INTO quarantine (consumer, message_id, at, why, body, fingerprint)"
            " VALUES ('bridge', 'q-1', ?, ?, ?, ?)",
            (
                (now - 5 * 3600) * 1_000_000,
                unreadable,
                json.dumps({"order_no": orders[0], "version": 1}).encode(),
                fingerprint_of(Source.QUARANTINE, "bridge", None, unreadable),
            ),
        )
        for source, name, ago, why, said in UNKNOWN:
            body = json.dumps(said).encode()
            raw.execute(
                "INSERT INTO unknown_messages (source, message_id, body_sha256, received_at, why,"
                " body, size_bytes, headers, state) VALUES (?, ?, ?, ?, ?, ?, ?, '{}', 'open')",
                (source, name, name, (now - ago * 3600) * 1_000_000, why, body, len(body)),
            )
        raw.execute(
            "UPDATE deliveries SET state = 'uncertain', detail = ?,"
            " since = ?, next_at = NULL WHERE row = (SELECT max(row) FROM deliveries)",
            (MES_SILENT(), (now - 3 * 3600) * 1_000_000),
        )
        raw.execute(
            "UPDATE orders SET mes_state = 'uncertain', needs_person = 'uncertain', is_open = true"
            " WHERE n IN (SELECT order_n FROM deliveries WHERE state = 'uncertain')"
        )


FINDINGS = (
    # kind, the order's place, what, repairs
    ("missing_there", 3, SHOWS_NONE(state="applied"), ["resend"]),
    ("differs", 5, SAYS_OTHERWISE(status="completed", stage="MANUFACTURING_STARTED"), ["adopt"]),
)


def _compare(raw: sqlite3.Connection, orders: Sequence[str], now: int) -> None:
    """A comparison with the MES that found something."""
    at = now - 2 * 3600 * 1_000_000
    raw.execute(
        "INSERT OR REPLACE INTO reconcile_passes"
        " (row, destination, started_at, by, phase, shown, ours, compared, moved_at, finished_at)"
        " VALUES (1, 'mes', ?, 'vera', 'done', 231, 232, 232, ?, ?)",
        (at, at, at),
    )
    for kind, place, what, repairs in FINDINGS:
        facts = json.dumps({"what": what, "repairs": repairs, "status": None})
        raw.execute(
            "INSERT OR REPLACE INTO reconcile_findings (destination, kind, reference, order_no,"
            " facts, since, seen_at, pass_row, state)"
            " VALUES ('mes', ?, ?, ?, ?, ?, ?, 1, 'open')",
            (kind, orders[place], orders[place], facts, at, at),
        )


def _goes_wrong(chromium: Browser, office: Office) -> None:
    """The CRM refuses news, messages and a work order come to a stop, the balance differs."""
    office.meets_the_crm()
    now = int(time.time()) * 1_000_000
    path = office.folder / "var" / "orderkeep.db"
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as raw, raw:
        newest = raw.execute("SELECT n FROM orders ORDER BY n DESC LIMIT 30").fetchall()
        _compare(raw, [order_no(n) for (n,) in newest], now)
        raw.execute("UPDATE inbox SET dead_at = ? WHERE message_id LIKE 'shot-price%'", (now,))
        raw.execute("UPDATE deliveries SET since = ? WHERE state = 'uncertain'", (now,))
    _asks(chromium, office, "vera", "/balance/count", {})


@contextlib.contextmanager
def empty_office() -> Iterator[Office]:
    """An office with people and no orders."""

    def people(folder: Path, environment: dict[str, str]) -> None:
        _call([sys.executable, "-c", PEOPLE], folder, environment)

    with _office(people) as office:
        yield office


@contextlib.contextmanager
def _office(prepare: Callable[[Path, dict[str, str]], None]) -> Iterator[Office]:
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), _environment())
        office = Office(Path(name))
        office.start()
        try:
            yield office
        finally:
            office.stop()


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("ORDERKEEP_")}


def _call(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    subprocess.run(command, cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)


def _office_port(process: "subprocess.Popen[str]") -> int:
    port = 0
    for line in process.stdout or ():
        if match := re.search(r"office ready on port (\d+)", line):
            port = int(match[1])
        if "is ready" in line:
            return port
    sys.exit("The office did not start.")


if __name__ == "__main__":
    main()
