"""What benchmarks of delivery found, as tables for a document."""

from collections.abc import Iterable, Sequence

from orderkeep.bench.comparison import DeliveryReport, Promise
from orderkeep.bench.faults import FaultReport, Outcome

_FIGURES = (
    "| pipeline | accepted/s | delivered/s | accept p50 / p99 ms | delivery p50 / p99 ms |",
    "| --- | --- | --- | --- | --- |",
)
_PROMISES = ("| what | target | measured | |", "| --- | --- | --- | --- |")


def delivery_table(report: DeliveryReport) -> str:
    """Figures, promises, and what is missing."""
    figures = [
        f"| {line.pipeline} | {found.accepted_per_s:,.0f} | {found.delivered_per_s:,.0f}"
        f" | {found.accept_p50_ms:.1f} / {found.accept_p99_ms:.1f}"
        f" | {found.delivery_p50_ms:.1f} / {found.delivery_p99_ms:.1f} |"
        for line in report.lines
        for found in [line.figures]
    ]
    missing = [f"\nLeft out: {name}: {why}" for name, why in report.left_out.items()]
    costs = [
        f"\n{name}: at the MES {ms:+.1f} ms later than naive's, in the middle."
        for name, ms in report.costs_ms.items()
    ]
    promised = map(_promise, report.promises)
    return _joined([*_FIGURES, *figures, "", *_PROMISES, *promised, *costs, *missing])


def _promise(one: Promise) -> str:
    sign, word = ("≤" if one.most else "≥"), ("met" if one.met else "**missed**")
    return f"| {one.name} | {sign} {one.target:g} | {one.value:g} | {word} |"


def faults_table(report: FaultReport) -> str:
    """A row a fault, a column a pipeline."""
    names = list(dict.fromkeys(one.pipeline for one in report.outcomes))
    by_fault: dict[str, dict[str, Outcome]] = {}
    for one in report.outcomes:
        by_fault.setdefault(one.fault, {})[one.pipeline] = one
    head = [_row(["fault", *names]), _row(["---"] * (len(names) + 1))]
    rows = [
        _row([fault, *(_cell(found.get(name)) for name in names)])
        for fault, found in by_fault.items()
    ]
    return _joined([*head, *rows])


def _cell(one: Outcome | None) -> str:
    """Lost (silently, with an error shown), calls of the MES too many, errors shown, under way."""
    if one is None:
        return "has none"
    shown = one.lost - one.lost_silently
    lost = f"**{one.lost:,}** ({one.lost_silently:,} / {shown:,})" if one.lost else "0"
    killed = f", {one.under_way:,} under way" if one.under_way else ""
    return f"{lost}, {one.doubled}, {one.errors:,}{killed}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines)
