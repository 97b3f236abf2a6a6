"""``orderkeep quote``: what would this model cost? Works without a server."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from orderkeep.kernel.errors import Invalid
from orderkeep.quoting.measurement import UNITS, Finding, Manual, Measurement, Outcome
from orderkeep.quoting.ports import EngineUnavailable, ModelFile
from orderkeep.quoting.price_book import PriceBook, example_book, read_price_book
from orderkeep.quoting.quote import NotPriceable, Quote, price
from orderkeep.quoting.workers import Workers

EXIT_CODES: Final = {"accept": 0, "accept_with_warning": 0, "review": 2, "reject": 3}
WRONG_USAGE: Final = 64
_DEADLINE: Final = timedelta(seconds=120)


def quote(
    file: Annotated[Path | None, typer.Argument(help="A model file (STL).")] = None,
    material: Annotated[str, typer.Option(help="A material of the price book.")] = "",
    quantity: Annotated[str, typer.Option(help="How many pieces.")] = "1",
    unit: Annotated[str, typer.Option(help="What one unit of the file is: mm, cm, m, in.")] = "mm",
    price_book: Annotated[Path | None, typer.Option(help="A price book other than ours.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with JSON.")] = False,
) -> None:
    """Measure a model file and price it, line by line.

    Exit status: 0 with a price, 2 when a person has to look, 3 when the file is unusable, 64 when
    called wrongly.
    """
    book = _book(price_book)
    if file is None or not file.is_file():
        raise _wrong("FILE must be a model file that can be read.")
    if material not in book.materials:
        raise _wrong(f"--material must be one of: {', '.join(book.materials)}.")
    if unit not in UNITS:
        raise _wrong(f"--unit must be one of: {', '.join(UNITS)}.")
    if not (quantity.isascii() and quantity.isdecimal() and 1 <= int(quantity[:9]) <= 1_000_000):
        raise _wrong("--quantity must be a whole number from 1 to 1,000,000.")
    answer = _answer(_measured(file, unit), book, material, int(quantity))
    print(answer.json() if as_json else answer.table())
    raise typer.Exit(EXIT_CODES[answer.verdict])


def _wrong(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(WRONG_USAGE)


def _book(path: Path | None) -> PriceBook:
    if path is None:
        return example_book()
    try:
        return read_price_book(path.read_text("utf-8"))
    except Invalid as invalid:
        faults = "\n".join(f"  {fault.pointer} {fault.message}" for fault in invalid.faults)
        raise _wrong(f"The price book has faults:\n{faults}") from None
    except (OSError, UnicodeDecodeError):
        raise _wrong("The price book cannot be read.") from None


def _measured(file: Path, unit: str) -> Outcome:
    async def measure() -> Outcome:
        async with Workers(1) as workers:
            return await workers.measure(ModelFile(file, unit), _DEADLINE)

    try:
        return asyncio.run(measure())
    except OSError:
        raise _wrong("FILE cannot be read.") from None
    except EngineUnavailable as error:
        return Manual((Finding("engine_unavailable", str(error)),))


@dataclass
class _Answer:
    verdict: str
    findings: tuple[Finding, ...]
    measured: Measurement | None
    quote: Quote | None

    def json(self) -> str:
        """The answer for programs: the same keys with every verdict."""
        body = {
            "verdict": self.verdict,
            "codes": [finding.code for finding in self.findings],
            "messages": [finding.message for finding in self.findings],
            "geometry": _geometry(self.measured) if self.measured else None,
            "price": msgspec.to_builtins(self.quote) if self.quote else None,
            "timings_s": self.measured.timings_s if self.measured else {},
            "peak_rss_mib": self.measured.peak_rss_mib if self.measured else None,
        }
        return msgspec.json.format(msgspec.json.encode(body)).decode()

    def table(self) -> str:
        """The answer for people."""
        lines = [f"{self.verdict}: {finding.message}" for finding in self.findings]
        if self.measured is not None:
            x, y, z = self.measured.bbox_mm
            volume = self.measured.volume_mm3
            lines.append(f"size     {x:.2f} x {y:.2f} x {z:.2f} mm, {self.measured.triangles:,} △")
            lines.append(f"volume   {'unknown' if volume is None else f'{volume} mm3'}")
        if self.quote is not None:
            lines += _price_table(self.quote)
        return "\n".join(lines)


def _answer(outcome: Outcome, book: PriceBook, material: str, quantity: int) -> _Answer:
    if isinstance(outcome, Manual):
        return _Answer(outcome.verdict, outcome.reasons, outcome.measured, None)
    try:
        quoted = price(book, outcome, material, quantity)
    except NotPriceable as refusal:
        return _Answer("review", refusal.findings, outcome, None)
    verdict = "accept_with_warning" if outcome.warnings else "accept"
    return _Answer(verdict, outcome.warnings, outcome, quoted)


def _geometry(measured: Measurement) -> dict[str, Any]:
    """Numbers as numbers; null is what this version does not measure, or does not know."""
    volume, signed = measured.volume_mm3, measured.signed_volume_mm3
    return {
        "volume_mm3": None if volume is None else float(volume),
        "signed_volume_mm3": None if signed is None else float(signed),
        "area_mm2": float(measured.area_mm2),
        "bbox_mm": list(measured.bbox_mm),
        "triangles": measured.triangles,
        "shells": measured.shells,
        "closed": measured.closed,
        "oriented": measured.oriented,
        "even": measured.even,
        "degenerate": measured.degenerate,
        "overlap_mm3": float(measured.overlap_mm3),
        "boundary_edges": None,
        "nonmanifold_edges": None,
        "min_wall_mm": None,
        "kernel_version": measured.kernel_version,
    }


def _price_table(quoted: Quote) -> list[str]:
    rows = [(line.code.replace("_", " "), line) for line in quoted.lines]
    width = max(len(name) for name, _ in rows)
    shown = [
        f"{name:<{width}}  {line.amount:>14,}  "
        + ", ".join(f"{key} {value}" for key, value in line.inputs.items())
        for name, line in rows
    ]
    return [
        f"mass     {quoted.mass_g} g of {quoted.material}, a piece",
        "",
        *shown,
        "-" * (width + 16),
        (
            f"{'total':<{width}}  {quoted.total:>14,}  {quoted.currency} for {quoted.quantity}, "
            f"{quoted.unit:,} a piece, VAT included"
        ),
        f"price book {quoted.book_version}, good for {quoted.validity_h} hours",
    ]
