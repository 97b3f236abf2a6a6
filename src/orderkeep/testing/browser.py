"""People at the office's screens: a real office of its own, and a real browser before it."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from orderkeep.bench.ports import hold_port, number_of
from orderkeep.practice.seed import PASSWORD

COMMAND = (sys.executable, "-c", "from orderkeep.cli import app; app()")
"""`orderkeep`, with the interpreter that runs the test."""
PEOPLE = (
    "import asyncio, os, pathlib\n"
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
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
WIDE, NARROW = 1440, 390
PATIENCE_MS = 90_000.0
"""How long a person waits for something to appear: a busy machine is not a broken one."""
DEADLINE_S = 150.0
CSRF = {"X-Requested-With": "orderkeep"}
PIECE = "band-ag-17"
"""A ready-made piece of the example price book: priced the moment it is asked for."""
STILL = """async () => {
    await document.fonts.ready
    await Promise.allSettled(document.getAnimations()
        .filter((one) => one.effect.getComputedTiming().iterations !== Infinity)
        .map((one) => one.finished))
}"""
"""Half faded in, every word is pale; before its letters are here, each has another width."""
FITS = "document.documentElement.scrollWidth <= window.innerWidth"
AFTER_THAT = "() => new Promise((done) => setTimeout(done, 1))"
"""What the page has put off till it has time has been done."""

# Where the letters of the Russian layout lie.
_RUSSIAN = dict(
    zip("йцукенгшщзхъфывапролджэячсмитьбю", "QWERTYUIOP[]ASDFGHJKL;'ZXCVBNM,.", strict=True)
)

expect.set_options(timeout=PATIENCE_MS)


def chromium_path() -> str:
    """The browser on this machine.

    Raises:
        FileNotFoundError: there is none; the sentence names the package.
    """
    for name in (os.environ.get("ORDERKEEP_CHROMIUM", ""), *BROWSERS):
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(
        "The browser tests need the package chromium (Debian: apt-get install chromium), "
        "or the path of a Chromium in ORDERKEEP_CHROMIUM."
    )


class OfficeProcess:
    """A real office in a folder of its own; started again, it keeps its address."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self._place = hold_port()
        self._port = number_of(self._place)
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("ORDERKEEP_")}
        self._environment |= {f"ORDERKEEP_{k.upper()}": v for k, v in settings.items()}
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """Where the screens are."""
        return f"http://127.0.0.1:{self._port}"

    def hire(self) -> None:
        """The practice people and partners, and no orders."""
        subprocess.run(
            [sys.executable, "-c", PEOPLE],
            cwd=self.folder, env=self._environment, check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self) -> None:
        """Return once it is ready."""
        with (self.folder / "orderkeep.log").open("a") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "run", "--port", "0", "--office-port", str(self._port)],
                cwd=self.folder, env=self._environment, text=True,
                stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        for line in self._process.stdout or ():
            if "is ready" in line:
                return
        raise RuntimeError((self.folder / "orderkeep.log").read_text()[-2000:])

    def stop(self) -> None:
        """Stop it in good order."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        process.communicate(timeout=DEADLINE_S)

    def leave(self) -> None:
        """Stop it for good."""
        try:
            self.stop()
        finally:
            self._place.close()


class Person:
    """Somebody who has signed in, and the page before them."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        """What the browser found fault with, and calls to foreign hosts: there are none."""
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)
        page.on("request", lambda request: self._watch(request.url))

    def _hear(self, message: Any) -> None:
        if message.type == "warning" or (
            message.type == "error" and "Failed to load resource" not in message.text
        ):
            self.complaints.append(message.text)

    def _watch(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and not url.startswith(self.address):
            self.complaints.append(f"a call to {parts.netloc}")

    @property
    def main(self) -> Locator:
        """What is between the bars."""
        return self.page.get_by_role("main")

    @property
    def dialog(self) -> Locator:
        """What is asked now."""
        return self.page.get_by_role("dialog")

    @property
    def chosen(self) -> Locator:
        """The row, the card or the entry under the cursor."""
        return self.page.locator('[aria-selected="true"]:not([role=tab]), li[aria-current="true"]')

    def goes(self, path: str) -> None:
        """Open a page by its address."""
        self.page.goto(self.address + path, wait_until="commit")

    def opens(self, order_no: str, tab: str = "") -> None:
        """Open the page of an order and see it."""
        self.goes(f"/orders/{order_no}" + (f"?tab={tab}" if tab else ""))
        expect(self.page.get_by_role("heading", name=order_no, exact=True)).to_be_visible()

    def sees(self, *words: str | re.Pattern[str]) -> None:
        """All of it, on the page."""
        for word in words:
            expect(self.main).to_contain_text(word)

    def reads(self, *words: str) -> None:
        """All of it, in the head of an order's page: the journey below names every stage."""
        for word in words:
            expect(self.main.locator("header").first).to_contain_text(word)

    def presses(self, *keys: str) -> None:
        """Keys, one after the other; a Russian letter is pressed as its layout does."""
        for key in keys:
            if place := _RUSSIAN.get(key):
                self._press_russian(key, place)
            else:
                self.page.keyboard.press(key)

    def _press_russian(self, key: str, place: str) -> None:
        session = self.page.context.new_cdp_session(self.page)
        press = {"key": key, "code": f"Key{place}", "windowsVirtualKeyCode": ord(place)}
        session.send("Input.dispatchKeyEvent", {"type": "keyDown", "text": key, **press})
        session.send("Input.dispatchKeyEvent", {"type": "keyUp", **press})
        session.detach()

    def stands_still(self) -> None:
        """Return once nothing fades, slides or waits for its letters: then it can be measured."""
        self.page.evaluate(STILL)

    def fits(self) -> bool:
        """Whether nothing sticks out at the side."""
        self.stands_still()
        return bool(self.page.evaluate(FITS))

    def waits(self, seen: Callable[[], Any]) -> None:
        """Return once something is so that the page does not show."""
        ends = time.monotonic() + DEADLINE_S
        while not seen():
            assert time.monotonic() < ends, "it never happens"
            self.page.wait_for_timeout(50)

    def is_done(self) -> None:
        """Nothing is asked any more, and no action is under way: the page shows what is now."""
        expect(self.dialog).to_have_count(0)
        expect(self.page.locator(".act:disabled")).to_have_count(0)
        # What closed gives the focus back, after it has gone.
        self.page.evaluate(AFTER_THAT)

    def does(self, action: str, **answers: str) -> None:
        """Press the button of an action, where it is, and answer what is asked by label."""
        self.sees(re.compile(r"\S"))
        self.is_done()  # Or the buttons are those of before.
        button = self.main.get_by_role("button", name=re.compile(f"^{re.escape(action)}"))
        more = self.main.get_by_role("button", name=re.compile("^(Other actions|Другие действия)$"))
        expect(button.or_(more).first).to_be_visible()
        if button.count():
            button.first.click()
        else:
            more.first.click()
            self.page.get_by_role("menuitem", name=action, exact=True).click()
        if answers:
            self.answers(**answers)
        else:
            self.is_done()

    def answers(self, **answers: str) -> None:
        """Fill in the dialog by the labels' first words and confirm with Enter."""
        expect(self.dialog).to_be_visible()
        for label, value in answers.items():
            field = self.dialog.get_by_label(re.compile(label.replace("_", " "), re.IGNORECASE))
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(label=value)
            else:
                field.fill(value)
        self.dialog.get_by_role("button").last.press("Enter")
        self.is_done()  # Who leaves before the answer may leave before it was asked.

    def strikes(self, name: str) -> None:
        """A button of the page, with the keyboard alone."""
        self.is_done()
        button = self.main.get_by_role("button", name=name, exact=True).first
        expect(button).to_be_enabled()
        button.focus()
        expect(button).to_be_focused()
        self.presses("Enter")

    def told(self, word: str | re.Pattern[str]) -> None:
        """A passing word at the edge of the screen."""
        expect(
            self.page.get_by_role("region", name=re.compile("Notif"))
            .or_(self.page.locator("[data-sonner-toaster], [data-slot=viewport]"))
            .first
        ).to_contain_text(word)

    def calls(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """What the page's own session asks of the office: to set a scene, not to play it."""
        answer = self.page.context.request.fetch(
            f"{self.address}/office/v1{path}",
            method=method, data=body, headers={**CSRF, **headers}, timeout=PATIENCE_MS,
        )  # fmt: skip
        assert answer.ok, f"{method} {path}: {answer.status} {answer.text()}"
        return answer.json() if answer.text() else None


class Shop:
    """One office and one browser; people come and go."""

    def __init__(self, office: OfficeProcess, browser: Browser) -> None:
        self.office = office
        self._browser = browser
        self._sessions: dict[str, Any] = {}
        self._orders = 0

    @contextmanager
    def person(self, login: str, language: str = "en", width: int = WIDE) -> Iterator[Person]:
        """Somebody signed in, or nobody for an empty login."""
        context = self._browser.new_context(
            viewport={"width": width, "height": 900},
            locale=f"{language}-{'RU' if language == 'ru' else 'GB'}",
            timezone_id="Europe/Moscow",
            storage_state=self._session(login) if login else None,
        )
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(f"localStorage.setItem('orderkeep.locale', '{language}')")
        person = Person(context.new_page(), self.office.address)
        try:
            if login:
                person.calls("PATCH", "/me", {"locale": language})
            yield person
        finally:
            context.close()

    def _session(self, login: str) -> Any:
        """Signed in once a test file: a password is slow to check, and is meant to be."""
        if login not in self._sessions:
            context = self._browser.new_context()
            answer = context.request.post(
                f"{self.office.address}/office/v1/session",
                data={"login": login, "password": PASSWORD},
                headers=CSRF,
                timeout=PATIENCE_MS,
            )
            assert answer.ok, f"{login} cannot sign in: {answer.status}"
            self._sessions[login] = context.storage_state()
            context.close()
        return self._sessions[login]

    def order(self, seller: Person, **more: Any) -> str:
        """An order of a ready-made piece, as the office's own screens send it; its number."""
        self._orders += 1
        body = {
            "customer": {"name": "Anna Petrova", "phone": "+7 900 123-45-67"},
            "items": [{"sku": PIECE, "quantity": 1}],
        }
        key = {"Idempotency-Key": f"scene-{self._orders}-{os.getpid()}"}
        return str(seller.calls("POST", "/orders", body | more, **key)["order_no"])

    def approved(self, seller: Person, **more: Any) -> str:
        """An order that waits for an operator; the seller has looked at it and approved it."""
        no = self.order(seller, **more)
        seller.opens(no)
        seller.sees("Needs your decision")
        seller.presses("a")
        seller.sees("Sent to the workshop", "Taken on")
        return no


@contextmanager
def opened(folder: Path, **settings: str) -> Iterator[Shop]:
    """An office with its people and no orders, and a browser."""
    office = OfficeProcess(folder, **settings)
    try:
        office.hire()
        office.start()
        with browser() as found:
            yield Shop(office, found)
    finally:
        office.leave()


@contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    path = chromium_path()
    # Playwright brings a Node of its own that wants libatomic, which a bare system has not.
    if node := shutil.which("node"):
        os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", node)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield found
        finally:
            found.close()
