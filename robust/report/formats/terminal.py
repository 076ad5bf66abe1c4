"""Terminal: the report in 25 lines of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from robust.records import AttackResult, Estimate, Report
from robust.records.flags import voiding
from robust.records.verdicts import WITHHELD
from robust.report.gates import judge_gates
from robust.report.tables.gates import gate_line
from robust.report.tables.model import NO_INTERVAL, no_interval_meaning, row_texts
from robust.report.tables.model import Table as DocumentTable
from robust.report.text.certificates import certificate_lines, crossing_sentences
from robust.report.text.corruptions import corruption_lines
from robust.report.text.detection import detection_lines, null_control_warning
from robust.report.text.format import (
    NONE,
    bracket,
    counted,
    median_distance,
    norms,
    of_hundred,
    plain,
    whole_interval,
)
from robust.report.text.headline import attack_sentences, unfinished_sentence
from robust.report.text.opening import date_text
from robust.report.text.words import words
from robust.units import eps_text, norm_text, printed_threat

LINES = 23
"""Of 25: two say where the report is."""
DETAIL = ((4, 3), (3, 3), (2, 3), (1, 3), (2, 2), (1, 2), (2, 1), (1, 1), (0, 1), (0, 0))
"""Attacks of each norm and warnings that are shown: the first pair that fits into `LINES`."""
MOST_EPS = 5
"""Columns of eps that a table shows, the largest eps among them."""
ERRORS = ("sensitivity", "specificity", "auc", "dice")
"""Scores that the second table shows."""
NAME = 18
"""Columns for the name of an attack."""

_TITLES = dict(zip(ERRORS, ("sensitivity %", "specificity %", "AUC", "mean Dice"), strict=True))
_STYLES = {"fails": "red", "mostly fooled": "red", "partly robust": "yellow", "robust": "green"}


def render_terminal(report: Report, attacks: int = 4, warnings: int = 3) -> RenderableType:
    """What `robust audit` prints at the end, with at most so many attacks and warnings."""
    audited = report.timings.audited
    title = f"{report.title} ({date_text(audited)})" if audited else report.title
    parts: list[RenderableType] = [_line(title, "bold")]
    alarms = null_control_warning(report.detection) if report.detection else ()
    opening = (*crossing_sentences(report), *unfinished_sentence(report), *alarms)
    parts += [Text(sentence) for sentence in (*opening, *attack_sentences(report))]
    if report.detection and voiding(report.flags, "attacks") is None:
        parts += [_line(line) for line in detection_lines(report.detection)]
    parts += [_line(line) for line in (*certificate_lines(report), *corruption_lines(report))]
    if gates := gate_line(judge_gates(report)):
        parts.append(_line(gates, "bold"))
    for norm in norms(report)[:2]:
        parts += [Text(), _attack_table(report, norm, attacks)]
        if len(norms(report)) == 1 and attacks:
            parts += _error_table(report, norm)
    if attacks:
        parts += [_minimum_norm_line(row) for row in report.rows if row.eps is None][:2]
    parts += _dagger_lines(report, attacks)
    return Group(*parts, *_warning_lines(report, warnings))


def terminal_table(shown: DocumentTable, rows: int | None = None) -> Table:
    """A table of a document for a terminal; of a verdict that is withheld without the reason.

    At most `rows` rows.
    """
    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(shown.columns):
        table.add_column(column.title, justify="left" if place == 0 else "right")
    for texts in row_texts(shown.rows[:rows]):
        withheld = [WITHHELD if text.startswith(f"{WITHHELD}: ") else text for text in texts]
        table.add_row(*map(Text, withheld))
    return table


def print_report(report: Report, console: Console) -> None:
    """Print the report with as much detail as fits into `LINES`."""
    for attacks, warnings in DETAIL:
        shown = render_terminal(report, attacks, warnings)
        if len(console.render_lines(shown, pad=False)) <= LINES:
            break
    console.print(shown)


def _line(text: str, style: str = "") -> Text:
    """One line, cut off where the terminal ends."""
    return Text(plain(text), style=style, no_wrap=True, overflow="ellipsis", end="\n")


def _warning_lines(report: Report, most: int) -> list[RenderableType]:
    if not report.flags:
        return []
    lines: list[RenderableType] = [Text()]
    lines += [
        _line(f"Warning: {flag.name}: {flag.observed}", "yellow") for flag in report.flags[:most]
    ]
    if (left := len(report.flags) - most) > 0:
        more = "and " + counted(left, "more warning") if most else counted(left, "warning")
        lines.append(Text(f"{more} in the report"))
    return lines


def _attack_table(report: Report, norm: str, most: int) -> Table:
    """Share of the correctly read images that stay correct: a row for each attack, eps across."""
    worst = _worst(report, norm)
    table = Table(box=None, pad_edge=False)
    table.add_column(f"still {words(report).correct} %, {norm_text(norm)}", no_wrap=True)
    for row in worst:
        table.add_column(eps_text(row.eps, norm), justify="right", no_wrap=True)
    attacks = _attacks(report, norm)
    for attack in [a for a, row in attacks.items() if row.eps is not None][:most]:
        known = {r.eps: r for r in report.rows if r.attack == attack and r.norm == norm}
        table.add_row(
            Text(_name(attack)), *(_robust_accuracy_text(known.get(row.eps)) for row in worst)
        )
    whole = f"worst of {len(attacks)} attacks" if len(attacks) > 1 else "worst case"
    table.add_row(whole, *(_robust_accuracy_text(row) for row in worst), style="bold")
    table.add_row("  95 % interval", *(_interval(row) for row in worst), style="dim")
    given = dict(zip(map(id, report.worst_cases), report.verdicts, strict=True))
    table.add_row("verdict", *(_verdict(given[id(row)]) for row in worst))
    return table


def _spread(rows: Sequence[AttackResult]) -> list[AttackResult]:
    """At most `MOST_EPS` of these rows at equal steps, the last one among them."""
    step = max(1, -(-len(rows) // MOST_EPS))
    return [rows[i] for i in range(len(rows) - 1, -1, -step)][::-1]


def _attacks(report: Report, norm: str) -> dict[str, AttackResult]:
    """Each attack in this norm with its first row, without those that repeat another."""
    found: dict[str, AttackResult] = {}
    for row in report.rows:
        if row.norm == norm and not row.same_as:
            found.setdefault(row.attack, row)
    return found


def _verdict(word: str) -> Text:
    """A verdict of two words takes two lines, so that five columns fit; the lead says why none."""
    word = word.split(":")[0]
    return Text(word.replace(" ", "\n"), _STYLES.get(word, ""), justify="right")


def _error_table(report: Report, norm: str) -> list[RenderableType]:
    """Sensitivity, specificity and AUC, or Dice, without attack and at the largest eps."""
    last = [row for row in report.worst_cases if row.norm == norm][-1]
    rows = [
        ("without attack", report.clean),
        (printed_threat(norm, last.eps), last),
    ]
    shown = [s for s in ERRORS if any(getattr(row.scores, s) for _, row in rows)]
    if not shown:
        return []
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True, min_width=NAME)
    for score in shown:
        table.add_column(_TITLES[score], no_wrap=True)
    for name, row in rows:
        table.add_row(name, *(_score(getattr(row.scores, score), score) for score in shown))
    if last.scores.attacker_auc is not None:
        blank = [""] * (len(shown) - 1)
        table.add_row("  attacker's AUC", *blank, _score(last.scores.attacker_auc, "auc"))
    return [table]


def _score(estimate: Estimate | None, score: str) -> str:
    if estimate is None:
        return NONE
    scale, digits = (1, 2) if score in ("auc", "dice") else (100, 0)
    return f"{scale * estimate.value:.{digits}f} {_bracket(estimate, scale, digits)}"


def _bracket(estimate: Estimate, scale: float, digits: int) -> str:
    """The interval; a mark in its place where there is none."""
    return bracket(estimate, scale, digits) if estimate.interval else NO_INTERVAL


def _minimum_norm_line(row: AttackResult) -> Text:
    """Success and median distance of an attack without a bound."""
    name, success, distance = _name(row.attack), row.scores.success, median_distance(row)
    if success is None:
        return _line(f"{name}: could not be evaluated")
    distance_text = (
        "" if distance is None else f"; median {norm_text(row.norm)} distance {distance.value:.3g}"
    )
    interval = whole_interval(success) if success.interval else NO_INTERVAL
    share = f"{of_hundred(success.value)} % {interval}"
    return _line(f"{name} fools {share} of images{distance_text}")


def _dagger_lines(report: Report, attacks: int) -> list[RenderableType]:
    """What the mark in the tables means; empty where every interval is shown."""
    shown = [r.scores.robust_accuracy for n in norms(report)[:2] for r in _worst(report, n)]
    if attacks:
        shown += [row.scores.success for row in report.rows if row.eps is None][:2]
    if attacks and len(norms(report)) == 1:
        last = _worst(report, norms(report)[0])[-1].scores
        shown += [getattr(s, n) for s in (report.clean.scores, last) for n in ERRORS]
        shown.append(last.attacker_auc)
    missing = [e.groups_needed for e in shown if e is not None and e.interval is None]
    return [Text(no_interval_meaning(missing), style="dim")] if missing else []


def _worst(report: Report, norm: str) -> list[AttackResult]:
    """The worst cases that the table of this norm shows."""
    return _spread([row for row in report.worst_cases if row.norm == norm])


def _name(text: str) -> str:
    name = plain(text)
    return set_cell_size(name, NAME - 1).strip() + "…" if cell_len(name) > NAME else name


def _robust_accuracy_text(row: AttackResult | None) -> str:
    if row is None or row.scores.robust_accuracy is None:
        return NONE
    return f"{100 * row.scores.robust_accuracy.value:.1f}"


def _interval(row: AttackResult) -> str:
    estimate = row.scores.robust_accuracy
    return NONE if estimate is None else _bracket(estimate, 100, 0)
