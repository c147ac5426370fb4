"""Tables: for a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from bench.marks import Verdict
from bench.results import COST_UNITS, CaseResult, Results, Row
from bench.rivals import RIVALS

HEAD = ("", "", "spread", "system", "a second", "ours = 1")


def number(value: float) -> str:
    """Return a number with three digits, or all before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"


def costUnit(case: CaseResult) -> tuple[str, float]:
    """Return the unit of costs, and the factor."""
    if case.how == "memory":
        return "bytes/connection", 1.0
    return COST_UNITS[case.unit]


def costOf(case: CaseResult, row: Row) -> str:
    """Return the figure of a row: the exponent, or the cost in its unit."""
    return f"{row.exponent:.3f}" if case.how == "growth" else number(row.cost * costUnit(case)[1])


def rateOf(case: CaseResult, row: Row) -> str:
    """Return the units a second; bytes as MiB."""
    if case.how in ("growth", "memory"):
        return ""
    return f"{row.rate / (1 << 20):,.0f} MiB" if case.unit == "byte" else f"{row.rate:,.0f}"


def tableOf(case: CaseResult) -> list[tuple[str, ...]]:
    """Return the rows of a table, with its head; a row with two cells describes a problem."""
    figure = "exponent" if case.how == "growth" else costUnit(case)[0]
    table: list[tuple[str, ...]] = [("", figure, *HEAD[2:])]
    ours = next((name for name in case.rows if RIVALS[name].family == "ours"), "")
    measured = case.measured()
    # If a cost is too small to measure, there is nothing to sort or to divide by.
    for name in sorted(case.rows, key=lambda name: measured[name].cost if name in measured else float("inf")):
        row = case.rows[name]
        if name not in measured:
            table.append((RIVALS[name].label, row.problem))
            continue
        ratio = case.ratio(name, ours) if ours in measured and measured[ours].cost else None
        system = "" if row.system is None or case.how == "memory" else f"{row.system:.0%}"
        shown = "" if ratio is None or case.how == "growth" else f"{ratio:.2f}"
        spread = "" if len(row.samples) < 2 or case.how == "growth" else f"±{row.spread:.0%}"
        table.append((RIVALS[name].label, costOf(case, row), spread, system, rateOf(case, row), shown))
    return table


def textOf(case: CaseResult) -> str:
    """Return the table of a case for a terminal."""
    table = tableOf(case)
    width = max(len(row[0]) for row in table)
    lines = [case.title]
    for row in table:
        if len(row) == 2:
            lines.append(f"  {row[0]:{width}}  {row[1]}")
        else:
            lines.append(f"  {row[0]:{width}} {row[1]:>16} {row[2]:>7} {row[3]:>7} {row[4]:>13} {row[5]:>9}".rstrip())
    return "\n".join(lines)


def markdownTable(table: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown; the first row is the head."""
    rows = [list(row) for row in table]
    width = len(rows[0])
    lines = ["| " + " | ".join([*row, *[""] * (width - len(row))]) + " |" for row in rows]
    lines.insert(1, "|---|" + "---:|" * (width - 1))
    return "\n".join(lines)


def marksTable(verdicts: list[Verdict]) -> list[tuple[str, ...]]:
    """Return the table of marks, with its head."""
    table: list[tuple[str, ...]] = [("what", "against", "mark", "figure", "")]
    for verdict in verdicts:
        mark = verdict.mark
        table.append((mark.what, mark.againstWhat, mark.limit, verdict.figure, verdict.word))
    return table


def marksText(verdicts: list[Verdict]) -> str:
    """Return the table of marks for a terminal."""
    table = marksTable(verdicts)
    widths = [max(len(row[column]) for row in table) for column in range(5)]
    lines = ["Marks"]
    for row in table:
        cells = [f"{cell:{'<' if index in (0, 1, 4) else '>'}{widths[index]}}" for index, cell in enumerate(row)]
        lines.append(("  " + "  ".join(cells)).rstrip())
    met, missed = (sum(verdict.word.startswith(word) for verdict in verdicts) for word in ("met", "missed"))
    lines.append(f"  {met} met, {missed} missed, {len(verdicts) - met - missed} not measured")
    return "\n".join(lines)


def factsText(facts: dict[str, str | None]) -> str:
    """Return the facts behind the figures, one a line."""
    return "\n".join(f"{name}: {value or 'not installed'}" for name, value in facts.items())


def pageOf(results: Results, verdicts: list[Verdict]) -> str:
    """Return all tables of a run, in Markdown."""
    parts = [f"# All tables: {results.facts['Python']}", "How to read them: [the page above](../README.md)."]
    parts.append("\n".join(f"- {line}" for line in factsText(results.facts).splitlines()))
    parts += ["## Marks", markdownTable(marksTable(verdicts))]
    for case in results.cases.values():
        parts += [f"## {case.title}", markdownTable(tableOf(case))]
    return "\n\n".join(parts) + "\n"
