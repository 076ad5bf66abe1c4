"""The report on a terminal: robust accuracy at a glance, harms of the worst case, doubts."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from robust.records import Estimate, Report, Row
from robust.report.words import NONE, decimal, eps_text, headline, norm_text, percent


def render_terminal(report: Report) -> RenderableType:
    """What `robust audit` prints at the end."""
    parts: list[RenderableType] = [Text(report.title, style="bold")]
    parts += [Text(sentence) for sentence in headline(report)]
    for norm in dict.fromkeys(row.norm for row in report.worst_cases):
        title = f"robust accuracy, {norm_text(norm)} (% of cases right when clean)"
        parts += [Text(), Text(title, style="italic"), _glance(report, norm), Text()]
        parts += [Text("worst case on all cases", style="italic"), _harms(report, norm)]
    for row in report.rows:
        if row.eps is None:
            parts.append(_nearest(row))
    if report.flags:
        parts += [Text(), Text("Doubts about these numbers", style="bold")]
        for flag in report.flags:
            line = Text.assemble((flag.name, "bold yellow"), f": {flag.seen}; {flag.remedy}")
            parts.append(Padding(line, (0, 0, 0, 2)))
    return Group(*parts)


def print_report(report: Report, console: Console) -> None:
    console.print(render_terminal(report))


def _glance(report: Report, norm: str) -> Table:
    """Attacks down, eps across: the share of correctly read images that stay so."""
    worst = [row for row in report.worst_cases if row.norm == norm]
    table = Table(box=None, pad_edge=False)
    table.add_column("attack")
    for row in worst:
        table.add_column(eps_text(row.eps, norm), justify="right", no_wrap=True)
    attacks = dict.fromkeys(r.attack for r in report.rows if r.norm == norm and r.eps is not None)
    for attack in attacks:
        known = {r.eps: r for r in report.rows if r.attack == attack and r.norm == norm}
        table.add_row(attack, *(_short(known.get(row.eps)) for row in worst))
    table.add_row("worst case", *(_short(row) for row in worst), style="bold")
    table.add_row("  95 % interval", *(_interval(row) for row in worst), style="dim")
    return table


def _harms(report: Report, norm: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("eps", no_wrap=True)
    for name in ("accuracy %", "sensitivity %", "specificity %", "AUC"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in [report.clean, *(r for r in report.worst_cases if r.norm == norm)]:
        s = row.scores
        label = "clean" if row.kind == "clean" else eps_text(row.eps, norm)
        shown = (_brief(s.accuracy), _brief(s.sensitivity), _brief(s.specificity))
        table.add_row(label, *shown, decimal(s.auc))
    return table


def _nearest(row: Row) -> Text:
    moved = row.scores.median_l2 if row.norm == "L2" else row.scores.median_linf
    found = percent(row.scores.success)
    far = "" if moved is None else f", median {norm_text(row.norm)} distance {moved.value:.4g}"
    return Text(f"{row.attack} finds an adversarial image for {found}{far}")


def _short(row: Row | None) -> str:
    if row is None or row.scores.robust_accuracy is None:
        return NONE
    return f"{100 * row.scores.robust_accuracy.value:.1f}"


def _brief(estimate: Estimate | None) -> str:
    if estimate is None:
        return NONE
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def _interval(row: Row) -> str:
    kept = row.scores.robust_accuracy
    return NONE if kept is None else f"[{100 * kept.low:.0f}, {100 * kept.high:.0f}]"
