"""Hugging Face model card: YAML front matter with every number of a report, and readable text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import yaml

from robust.records import Report
from robust.records.estimate import Estimate
from robust.report.formats.exchange.describe import (
    data_text,
    limit_sentences,
    model_name,
    stated,
)
from robust.report.formats.markdown import escape_markdown, markdown_table, markdown_warning
from robust.report.numbers import (
    SECTIONS,
    ReportedNumber,
    Section,
    reported_numbers,
)
from robust.report.text.format import bracket, condition, decimal, flat, plain
from robust.report.text.headline import headline
from robust.report.text.opening import NOT_STATED, date_text
from robust.report.text.provenance import provenance_facts

_TASKS = {"classification": "image-classification", "segmentation": "image-segmentation"}
_TAGS = ("robustness", "adversarial-attacks", "medical-imaging")
_TYPES = {"auc": "roc_auc", "brier": "brier_score"}
"""Measures that Hugging Face knows by another name."""
_LEADING = {
    "worst case": ("robust_accuracy", "dice_under_attack"),
    "attacks": ("robust_accuracy", "dice_under_attack"),
    "detectors": (
        *("detector_paired_auc", "detector_rate_at_0.05_false_alarms"),
        *("adaptive_paired_auc", "adaptive_evasion_rate_at_0.05_false_alarms"),
    ),
    "scenarios": ("fooled",),
    "corruptions": ("mean_corrupted_error",),
}
"""Measures that a reader sees first, of all cases; of other sections all."""
_FOLDED = ("worst case",)
"""Sections whose other numbers stand folded below; of others the front matter alone has them."""
_DETAILS = ("median_l1", "median_l2", "median_linf", "median_l0", "success")
"""Measures that the card leaves to its front matter."""
_DISTANCES = ("median", "radius", "hd95")
_HEADINGS = {
    "clean": "Without attack",
    "worst case": "Under attack: the worst case over all attacks",
    "attacks": "Under each attack",
    "detectors": "Detectors of attacks",
    "scenarios": "Attackers with less knowledge",
    "corruptions": "Corrupted images",
    "certificates": "Proven lower bounds",
    "storage": "Attacks on saved images",
    "deployed version": "The deployed version",
}
_OTHERS = "other measures, classes and subgroups"
_NO_CONTROL, _IS_CONTROL = "none in this audit", "is itself a control"
_NO_NEED = ("clean", "deployed version")
"""Sections whose numbers are themselves what others are compared with."""
_RULE = (
    "Each number stands with its 95 % interval by group. The control is the same measure where "
    "nobody attacks: an effect that the control has as well is none of the attack."
)


def render_model_card(report: Report) -> str:
    """The card as Markdown that `huggingface_hub.ModelCard` parses.

    The front matter has every number of all cases; those of subgroups and classes without attack
    and in the worst case stand in the text alone.
    """
    numbers = reported_numbers(report)
    front = yaml.dump(
        _front(report, numbers),
        # That of libyaml is ten times as fast.
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
        default_flow_style=None,  # a line for the arguments of each metric
        sort_keys=False,
        allow_unicode=True,
        width=1_000_000,
    )
    return f"---\n{front}---\n\n" + "\n\n".join(_text(report, numbers)) + "\n"


# --- front matter ---


def _front(report: Report, numbers: Iterable[ReportedNumber]) -> dict[str, Any]:
    task = _TASKS[report.task.name]
    data = report.data
    metrics = [_metric(one) for one in numbers if not one.part]
    return {
        "tags": [*_TAGS, *(["synthetic-data"] if data.synthetic else [])],
        "pipeline_tag": task,
        "model-index": [
            {
                "name": model_name(report),
                "results": [
                    {
                        "task": {"type": task, "name": plain(report.title)},
                        "dataset": {
                            "type": _slug(data.source),
                            "name": plain(data.source),
                            "split": plain(data.split),
                        },
                        "metrics": metrics,
                    }
                ],
            }
        ],
    }


def _metric(number: ReportedNumber) -> dict[str, Any]:
    arguments: dict[str, Any] = _estimate(number.estimate)
    if number.controls:
        arguments["controls"] = [
            {"name": one.name, "value": _nine(one.estimate.value), **_estimate(one.estimate)}
            for one in number.controls
        ]
    if number.doubt:
        arguments["doubt"] = number.doubt
    return {
        "type": _TYPES.get(number.measure, number.measure),
        "value": _nine(number.estimate.value),
        "name": f"{_words(number.measure)} ({number.condition})",
        "args": arguments,
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    """Interval and size of an estimate; without an interval it says so."""
    ends = estimate.interval
    interval = {"interval_95": "none"} if ends is None else {"interval_95": [*map(_nine, ends)]}
    return {**interval, "cases": estimate.cases, "groups": estimate.groups}


def _nine(value: float) -> float:
    """With nine digits, as in the tables of a report."""
    return float(f"{value:.9g}")


def _slug(name: str) -> str:
    """A name as Hugging Face writes those of data sets."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "unnamed"


# --- text ---


def _text(report: Report, numbers: Sequence[ReportedNumber]) -> Iterator[str]:
    facts = dict(provenance_facts(report))
    yield f"# {escape_markdown(model_name(report))}"
    yield escape_markdown(
        f"This card was written from the report of an audit by robust "
        f"{report.environment.get('robust', '')} ({date_text(report.timings.audited)}). It says "
        f"how the model behaves under attack, not that it is fit for clinical use."
    )
    yield " ".join(escape_markdown(sentence) for sentence in headline(report))
    if report.flags:
        names = ", ".join(escape_markdown(plain(flag.name)) for flag in report.flags)
        yield f"**Warnings:** {names}."
    yield "## Model"
    shown = ("Model", "Model format", "Weights", "Head", "Preprocessing")
    yield _list(
        {
            "Version": stated(report, "model_version") or NOT_STATED,
            **{name: facts[name] for name in shown if name in facts},
            "Intended use": stated(report, "intended_use") or NOT_STATED,
            "Acceptance criteria": stated(report, "acceptance_criteria") or NOT_STATED,
        }
    )
    yield "## Data of the audit"
    yield escape_markdown(data_text(report))
    yield _list({name: facts[name] for name in ("Data", "Groups") if name in facts})
    yield "## Results"
    yield escape_markdown(_RULE)
    for section in SECTIONS:
        found = [one for one in numbers if one.section == section]
        if found:
            yield f"### {_HEADINGS[section]}"
            if section == "worst case":
                yield _verdicts(report)
            yield from _section(section, found)
    if report.flags:
        yield "## Warnings"
        yield "\n".join(markdown_warning(flag) for flag in report.flags)
    yield "## Limits"
    yield "\n".join(f"- {escape_markdown(sentence)}" for sentence in limit_sentences(report))
    yield "## How it was audited"
    how = ("Attacks", "Detectors", "Seed", "Per-case table", "Cost", "Software")
    yield _list({name: facts[name] for name in how if name in facts})


def _section(section: Section, numbers: Sequence[ReportedNumber]) -> Iterator[str]:
    """The leading numbers, then the others folded, or a line where they are."""
    leading = _LEADING.get(section)
    first = [n for n in numbers if leading is None or (n.measure in leading and not n.part)]
    rest = [n for n in numbers if n not in first and n.measure not in _DETAILS]
    controlled = section not in _NO_NEED
    if first:
        yield _numbers(first, controlled=controlled)
    if rest and section in _FOLDED:
        table = _numbers(rest, controlled=controlled)
        yield f"<details><summary>{_OTHERS}</summary>\n\n{table}\n\n</details>"
    elif rest:
        yield "The front matter of this card has the other measures."


def _verdicts(report: Report) -> str:
    lines = [
        (condition(row), plain(word))
        for row, word in zip(report.worst_cases, report.verdicts, strict=True)
    ]
    return markdown_table(("threat", "verdict"), lines)


def _numbers(numbers: Sequence[ReportedNumber], *, controlled: bool) -> str:
    """A row for each number; columns that are empty in all rows are left out."""
    names = {one.name for number in numbers for one in number.controls}
    single = len(names) == 1 and all(len(number.controls) < 2 for number in numbers)
    columns = ["measure", "condition", "part of the cases", "value [95 % interval]"]
    columns.append(f"control: {names.pop()}" if single else "control")
    columns += ["doubt", "cases (groups)"]
    rows = [
        (
            _words(one.measure),
            one.condition,
            one.part,
            _value(one.measure, one.estimate),
            _controls(one, named=not single) if controlled else "",
            one.doubt,
            f"{one.estimate.cases} ({one.estimate.groups})",
        )
        for one in numbers
    ]
    kept = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    return markdown_table(
        [columns[i] for i in kept], [[flat(row[i]) for i in kept] for row in rows]
    )


def _controls(number: ReportedNumber, *, named: bool) -> str:
    texts = [
        f"{one.name}: {value}" if named else value
        for one in number.controls
        for value in [_value(number.measure, one.estimate)]
    ]
    return "; ".join(texts) or (_IS_CONTROL if number.is_control else _NO_CONTROL)


def _value(measure: str, estimate: Estimate) -> str:
    """A share with three decimals; a distance with four digits."""
    if not any(word in measure for word in _DISTANCES):
        return decimal(estimate)
    if (ends := estimate.interval) is None:
        return f"{estimate.value:.4g} {bracket(estimate)}"
    return f"{estimate.value:.4g} [{ends[0]:.4g}, {ends[1]:.4g}]"


def _words(measure: str) -> str:
    return measure.replace("_", " ")


def _list(facts: dict[str, str]) -> str:
    return "\n".join(f"- **{name}:** {escape_markdown(text)}" for name, text in facts.items())
