#!/usr/bin/env python3
"""Photograph every screen of the office in a real browser: widths, languages and states.

Two real offices are started: one with the practice month, one with nothing in it. States:
``filled`` and ``empty`` are what they hold; ``loading`` is an answer that does not come, ``failed``
an office that answers with an error, ``stale`` a connection lost after the page was shown.
The pictures go to ``var/shots/<screen>/<width>-<language>-<state>.png``.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from orderkeep.practice.seed import PASSWORD

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


class Screen(NamedTuple):
    """A screen: who looks at it, where, and what of it is photographed."""

    name: str
    login: str
    path: str
    states: tuple[str, ...] = STATES
    languages: tuple[str, ...] = LANGUAGES
    below: str = ""
    """What to scroll to, where it is not at the top."""


SCREENS = (
    Screen("sign-in", "", "/sign-in", states=("filled",)),
    Screen("board", "nikolai", "/board?view=table"),
    Screen("work", "ivan", "/board?view=work"),
    Screen("approvals", "olga", "/approvals"),
    Screen("order", "olga", "/orders/{order}"),
    *(
        Screen(
            f"order-{tab}",
            "olga",
            f"/orders/{{order}}?tab={tab}",
            states=("filled",),
            languages=("ru",),
            below="[role=tablist]",
        )
        for tab in ("hops", "price", "files", "times")
    ),
    Screen("submit", "olga", "/submit"),
    Screen("search", "vera", "/search?q={order}"),
    Screen("balance", "vera", "/balance"),
    Screen("reconcile", "vera", "/balance/mes"),
    Screen("lost", "vera", "/balance/lost"),
    Screen("dead-letters", "vera", "/dead-letters"),
    Screen("people", "admin", "/people"),
    Screen("partners", "admin", "/partners"),
)


class Office:
    """A real office in a folder of its own, and an order to look for in it."""

    order = "OK-002008"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, where it was before if it has been started before."""
        self._process = subprocess.Popen(
            [ORDERKEEP, "run", "--port", "0", "--office-port", str(self._port)],
            cwd=self._folder,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._port = _office_port(self._process)

    def stop(self) -> None:
        """Stop it in good order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)


def main() -> None:
    """Take all pictures, or those of one screen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--screen", action="append", help="only this screen; may be repeated")
    chosen = parser.parse_args().screen
    screens = [one for one in SCREENS if not chosen or one.name in chosen]
    with filled_office() as filled, empty_office() as empty, browser() as chromium:
        filled.order = _richest_order(chromium, filled)
        taken = 0
        for screen in screens:
            taken += _photograph(chromium, screen, filled, empty)
            sys.stderr.write(f"\r{taken} pictures, {screen.name:<10}")
    sys.stderr.write("\n")
    sys.stdout.write(f"{SHOTS}\n")


def _photograph(chromium: Browser, screen: Screen, filled: Office, empty: Office) -> int:
    """Every picture of one screen; returns how many."""
    (SHOTS / screen.name).mkdir(parents=True, exist_ok=True)
    looks = [(width, language) for width in WIDTHS for language in screen.languages]
    for state in screen.states:
        if state == "stale":
            _lose_connection(chromium, screen, filled, looks)
            continue
        for look in looks:
            office = empty if state == "empty" else filled
            with visitor(chromium, office, screen, *look) as page, _answers(page, state):
                _show(page, office, screen)
                _shoot(page, screen, look, state)
    return len(screen.states) * len(looks)


def _richest_order(chromium: Browser, office: Office) -> str:
    """The order in work that has lived through most."""
    context = chromium.new_context(storage_state=_session(chromium, office, "olga"))
    query = "stage=MANUFACTURING_STARTED&limit=100"
    page = context.request.get(f"{office.address}/office/v1/board?{query}").json()
    context.close()
    return str(max(page["items"], key=lambda row: row["version"])["order_no"])


def _lose_connection(
    chromium: Browser, screen: Screen, office: Office, looks: list[tuple[int, str]]
) -> None:
    """Show the screen, and then let the office really go away."""
    with contextlib.ExitStack() as stack:
        pages = []
        for look in looks:  # One after the other: a person speaks one language at a time.
            pages.append(stack.enter_context(visitor(chromium, office, screen, *look)))
            _show(pages[-1], office, screen)
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


def _show(page: Page, office: Office, screen: Screen) -> None:
    page.goto(office.address + screen.path.format(order=office.order), wait_until="commit")
    page.wait_for_timeout(SETTLED_MS)
    if screen.below:
        page.locator(screen.below).evaluate(UNDER_THE_BAR)


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
        _call([sys.executable, "-c", code], folder, environment)

    with _office(fill) as office:
        yield office


@contextlib.contextmanager
def empty_office() -> Iterator[Office]:
    """An office with people and no orders."""

    def people(folder: Path, environment: dict[str, str]) -> None:
        code = (
            "import asyncio, os, pathlib\n"
            "from datetime import UTC, datetime\n"
            "from contextlib import AsyncExitStack\n"
            "from orderkeep.config import load\n"
            "from orderkeep.practice.seed import people_and_partners\n"
            "from orderkeep.roles.parts import build\n"
            "async def main():\n"
            "    settings, _ = load(os.environ, pathlib.Path())\n"
            "    async with AsyncExitStack() as stack:\n"
            "        await people_and_partners(await build(settings, stack))\n"
            "asyncio.run(main())\n"
        )
        _call([sys.executable, "-c", code], folder, environment)

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
