"""How long an operator waits for the first row: a real browser, a real server, cold caches."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import uvloop

from orderkeep.adapters.sql.migrate import migrate
from orderkeep.bench.browsing import sign_in
from orderkeep.bench.crowd import fill
from orderkeep.bench.places import sqlite
from orderkeep.bench.server import serving
from orderkeep.kernel.clock import SystemClock

ROWS = 100_000
LOADS = 9
PATIENCE_S = 30.0
POLL_S = 0.1
FIRST_ROW = """
    const row = () => document.querySelector('a[href*="OK-"]')?.getClientRects().length
    const drawn = () => { window.firstRowMs = performance.now() }
    const watch = new MutationObserver(() => {
        if (!row()) return
        watch.disconnect()
        requestAnimationFrame(() => requestAnimationFrame(drawn))
    })
    watch.observe(document, { childList: true, subtree: true })
"""
"""Run in the page before its own scripts: from outside, asking would be slower than drawing."""

TARGET_S = 1.0
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class NoBrowser(Exception):
    """There is nothing to measure with; the message says what to install."""


class FirstRow(msgspec.Struct, frozen=True):
    """What ``bench board --browser`` prints: seconds from navigating to the first row visible."""

    rows: int
    loads: list[float]
    median_s: float
    target_s: float
    met: bool


def first_row(rows: int = ROWS, folder: Path | None = None, *, loads: int = LOADS) -> FirstRow:
    """Open the board in fresh browser contexts, one after the other.

    Raises:
        NoBrowser: Playwright or Chromium is missing.
    """
    start_playwright, chromium = _playwright(), _chromium()
    loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with tempfile.TemporaryDirectory(dir=folder, prefix="orderkeep-bench-") as place, loop:
        database = Path(place) / "orderkeep.db"
        migrate(f"sqlite:///{database}")
        fill(database, rows, SystemClock().now())
        took = loop.run(_measure(database, start_playwright, chromium, loads))
    middle = round(median(took), 3)
    return FirstRow(rows, took, middle, TARGET_S, met=middle <= TARGET_S)


def _playwright() -> Any:
    try:
        from playwright.async_api import async_playwright  # Of the development tools only.
    except ModuleNotFoundError as missing:
        raise NoBrowser(
            "--browser needs Playwright for Python, which comes with the development tools:"
            " `make setup`, or `pip install playwright`."
        ) from missing
    return async_playwright


def _chromium() -> str:
    names = (os.environ.get("ORDERKEEP_CHROMIUM", ""), *_BROWSERS)
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        raise NoBrowser("--browser needs Chromium: install it, or name one in ORDERKEEP_CHROMIUM.")
    return found


async def _measure(database: Path, start_playwright: Any, chromium: str, loads: int) -> list[float]:
    [token] = await sign_in(database, 1)
    async with serving(sqlite(database)) as server, start_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        address = f"http://127.0.0.1:{server.ports['office']}"
        # One for the browser's own start, not counted.
        took = [await _load(browser, address, token) for _ in range(loads + 1)]
        await browser.close()
    return took[1:]


async def _load(browser: Any, address: str, token: str) -> float:
    """One cold load: a context of its own has nothing cached."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    await context.add_cookies([{"name": "orderkeep_session", "value": token, "url": address}])
    page = await context.new_page()
    await page.add_init_script(FIRST_ROW)
    await page.goto(f"{address}/board", wait_until="commit")
    async with asyncio.timeout(PATIENCE_S):
        # Polled from here: the page's own rules forbid what Playwright would wait with.
        while not (  # noqa: ASYNC110  # nothing rings here
            took_ms := float(await page.evaluate("window.firstRowMs ?? 0"))
        ):
            await asyncio.sleep(POLL_S)
    await context.close()
    return round(took_ms / 1000, 3)
