"""The report on a terminal: the same story in 25 lines of 80 columns."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from robust.records import AttackResult, Estimate, Report
from robust.report.gates import judge_gates
from robust.report.tables.gates import in_a_line as gates_in_a_line
from robust.report.text.detection import alarm, in_a_line
from robust.report.text.format import NONE, counted, moved, norms, plain
from robust.report.text.headline import happened, verdicts
from robust.units import eps_text, norm_text

LINES = 23
"""Of 25: two are for where the report lies."""
DETAIL = ((4, 3), (3, 3), (2, 3), (2, 2), (2, 1), (1, 1), (0, 1), (0, 0))
"""Attacks of each norm and doubts that are shown: the first that fits into `LINES`."""
MOST_EPS = 5
NAME = 18
"""Columns for the name of an attack or a class."""

_STYLES = {"collapses": "red", "breaks": "red", "weakens": "yellow", "holds": "green"}


def render_terminal(report: Report, attacks: int = 4, doubts: int = 3) -> RenderableType:
    """What `robust audit` prints at the end, with so many attacks and doubts."""
    parts: list[RenderableType] = [_line(report.title, "bold")]
    parts += [Text(sentence) for sentence in _opening(report)]
    if report.detection and (line := in_a_line(report.detection)):
        parts.append(_line(line))
    if gates := gates_in_a_line(judge_gates(report)):
        parts.append(_line(gates, "bold"))
    for norm in norms(report)[:2]:
        parts += [Text(), _glance(report, norm, attacks)]
        if len(norms(report)) == 1 and attacks:
            parts += _harms(report, norm)
    if attacks:
        parts += [_nearest(row) for row in report.results if row.eps is None][:2]
    if report.flags:
        parts.append(Text())
    for flag in report.flags[:doubts]:
        parts.append(_line(f"Doubt: {flag.name}: {flag.observed}", "yellow"))
    if (left := len(report.flags) - doubts) > 0:
        more = "and " + counted(left, "more doubt") if doubts else counted(left, "doubt")
        parts.append(Text(f"{more} in the report"))
    return Group(*parts)


def print_report(report: Report, console: Console) -> None:
    """Print it with as much detail as fits."""
    for attacks, doubts in DETAIL:
        shown = render_terminal(report, attacks, doubts)
        if len(console.render_lines(shown, pad=False)) <= LINES:
            break
    console.print(shown)


def _opening(report: Report) -> tuple[str, ...]:
    """The sentences that a report begins with, those about detectors but for their alarm apart."""
    return (*(alarm(report.detection) if report.detection else ()), *happened(report))


def _line(text: str, style: str = "") -> Text:
    """One line, cut off where the terminal ends."""
    return Text(plain(text), style=style, no_wrap=True, overflow="ellipsis", end="\n")


def _glance(report: Report, norm: str, most: int) -> Table:
    """Attacks down, eps across: the share of correctly read images that stay so."""
    every = [row for row in report.worst_cases if row.norm == norm]
    step = max(1, -(-len(every) // MOST_EPS))
    worst = [every[i] for i in range(len(every) - 1, -1, -step)][::-1]
    table = Table(box=None, pad_edge=False)
    table.add_column(f"still right %, {norm_text(norm)}", no_wrap=True)
    for row in worst:
        table.add_column(eps_text(row.eps, norm), justify="right", no_wrap=True)
    attacks = list(
        dict.fromkeys(
            r.attack
            for r in report.results
            if r.norm == norm and r.eps is not None and not r.same_as
        )
    )
    for attack in attacks[:most]:
        known = {r.eps: r for r in report.results if r.attack == attack and r.norm == norm}
        table.add_row(Text(_name(attack)), *(_short(known.get(row.eps)) for row in worst))
    if len(attacks) > most > 0:
        table.add_row(counted(len(attacks) - most, "more attack"), *("" for _ in worst))
    table.add_row("worst case", *(_short(row) for row in worst), style="bold")
    table.add_row("  95 % interval", *(_interval(row) for row in worst), style="dim")
    words = {id(v.row): v.word for v in verdicts(report)}
    table.add_row("verdict", *(Text(w := words[id(r)], _STYLES.get(w, "")) for r in worst))
    return table


def _harms(report: Report, norm: str) -> list[RenderableType]:
    """Sensitivity and specificity in percent and AUC, clean and at the largest eps, a line each."""
    last = [row for row in report.worst_cases if row.norm == norm][-1]
    lines: list[RenderableType] = []
    for name, row in (("clean", report.clean), (eps_text(last.eps, norm), last)):
        s = row.scores
        shown = [
            f"{what} {_brief(e)}"
            for what, e in (("sensitivity", s.sensitivity), ("specificity", s.specificity))
            if e is not None
        ]
        if s.auc is not None:
            value, low, high = map(_hundredths, (s.auc.value, s.auc.low, s.auc.high))
            shown.append(f"AUC {value} [{low}, {high}]")
        if shown:
            lines.append(_line(f"{name}: {', '.join(shown)}"))
    return lines


def _nearest(row: AttackResult) -> Text:
    """How an attack without a bound fared."""
    name, success, far = _name(row.attack), row.scores.success, moved(row)
    if success is None:
        return _line(f"{name}: no verdict")
    at = "" if far is None else f", median {norm_text(row.norm)} distance {far.value:.3g}"
    return _line(f"{name} fools {_brief(success)} of 100{at}")


def _name(text: str) -> str:
    name = plain(text)
    return set_cell_size(name, NAME - 1).strip() + "…" if cell_len(name) > NAME else name


def _brief(estimate: Estimate) -> str:
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.0f} [{low:.0f}, {high:.0f}]"


def _hundredths(share: float) -> str:
    """`.95`, `1`: the line has no room for more."""
    text = f"{share:.2f}".removeprefix("0")
    return "1" if text == "1.00" else text


def _short(row: AttackResult | None) -> str:
    if row is None or row.scores.robust_accuracy is None:
        return NONE
    return f"{100 * row.scores.robust_accuracy.value:.1f}"


def _interval(row: AttackResult) -> str:
    kept = row.scores.robust_accuracy
    return NONE if kept is None else f"[{100 * kept.low:.0f}, {100 * kept.high:.0f}]"
