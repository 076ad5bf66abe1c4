"""The fixture `robustness`: audits that run once, with their results in a failed test's report."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from robust.errors import InputError, did_you_mean
from robust.pytest_plugin.options import (
    TABLES,
    default_device,
    default_plan,
    quiet_libraries,
    refuse,
)
from robust.records import AttackResult, Report
from robust.records.verdicts import is_withheld
from robust.report.formats.terminal import render_terminal
from robust.report.text.format import condition, counted, decimal, listed, percent, plain
from robust.report.text.headline import Verdict, verdicts
from robust.report.text.words import words

if TYPE_CHECKING:
    from robust.cases import Cases
    from robust.models import Adapter
    from robust.plan import Plan

WIDTH = 80
"""Columns of a table: a worker of pytest-xdist does not know the width of the terminal."""

PLAN_SETTINGS = ("attacks", "eps", "device", "out", "skip_broken")
"""Settings that a call with a plan may have."""

_REPORTS = pytest.StashKey[list[Report]]()


class Robustness:
    """The fixture `robustness`; each worker of pytest-xdist has its own and runs its own audits."""

    def __init__(self, config: pytest.Config, current: Callable[[], pytest.Item | None]) -> None:
        self._config = config
        self._current = current
        self._runs: dict[tuple[object, ...], Report] = {}
        self._reports: list[Report] = []

    def __call__(
        self,
        subject: Adapter | Plan | str | Path | None = None,
        cases: Cases | None = None,
        **settings: Any,
    ) -> Report:
        """The report on a model and cases, or on a plan; bad input fails the test in a line.

        `settings` are those of `robust.audit`; of a plan's run eps, attacks, device, out and
        skip_broken. They go before the test's markers, which go before the plan.
        """
        report = self._try_run(subject, cases, settings)
        if isinstance(report, InputError):  # outside the handler, else pytest shows its chain
            refuse(report)
        if not any(report is other_report for other_report in self._reports):
            self._reports.append(report)
        item = self._current()
        if item is not None:
            reports = item.stash.setdefault(_REPORTS, [])
            if not any(report is other for other in reports):
                reports.append(report)
                item.user_properties.append(("robustness", " / ".join(result_lines(report))))
        return report

    def reports_of(self, item: pytest.Item) -> list[Report]:
        """The reports that a test asked for, or received from a fixture."""
        reports = [*item.stash.setdefault(_REPORTS, [])]
        fixture_values = getattr(item, "funcargs", {}).values()
        for report in self._reports:
            known = any(report is other for other in reports)
            if not known and any(report is value for value in fixture_values):
                reports.append(report)
        return reports

    def __repr__(self) -> str:
        return "<robustness: call it to run an audit>"

    def _try_run(self, *arguments: Any) -> Report | InputError:
        try:
            with quiet_libraries():
                return self._run(*arguments)
        except InputError as error:
            return error

    def _run(
        self,
        subject: Adapter | Plan | str | Path | None,
        cases: Cases | None,
        settings: dict[str, Any],
    ) -> Report:
        from robust.plan import Plan

        settings = {"device": default_device(self._config), **self._marked(), **settings}
        if subject is None and cases is None:
            subject = default_plan(self._config)
            if subject is None:
                raise InputError(
                    "robustness() runs the plan of --robust-plan FILE, and there is none; "
                    "give it, or call robustness(classifier, cases) or robustness('plan.toml')"
                )
        if isinstance(subject, str | Path | Plan):
            if cases is not None:
                raise InputError("a plan names its own cases; call robustness(plan) without cases")
            return self._run_plan(subject, settings)
        return self._run_objects(subject, cases, settings)

    def _run_objects(self, classifier: Any, cases: Any, settings: dict[str, Any]) -> Report:
        from robust.auditing import audit
        from robust.cases import cases_from

        opened = cases_from(cases)
        limit = self._config.getoption("--robust-limit")
        return audit(classifier, opened if limit is None else opened.sample(limit), **settings)

    def _run_plan(self, subject: Plan | str | Path, settings: dict[str, Any]) -> Report:
        from robust.auditing import audit_plan
        from robust.plan import Plan, load_plan

        for name in settings:
            if name not in PLAN_SETTINGS:
                hint = did_you_mean(name, PLAN_SETTINGS)
                raise InputError(f"robustness(plan) has no setting {name!r}; {hint}")
        attacks, eps = settings.pop("attacks", None), settings.pop("eps", None)
        given = subject if isinstance(subject, Plan) else load_plan(subject)
        plan = _changed(given, attacks, eps, self._config.getoption("--robust-limit"))
        key = (plan.model_dump_json(), *(str(settings.get(name)) for name in PLAN_SETTINGS))
        if key not in self._runs:
            self._runs[key] = audit_plan(plan, **settings)
        return self._runs[key]

    def _marked(self) -> dict[str, Any]:
        """Settings of the test's nearest markers."""
        item = self._current()
        marked = {}
        for name in ("attacks", "eps"):
            marker = item.get_closest_marker(f"robust_{name}") if item else None
            if marker is None:
                continue
            if not marker.args or marker.kwargs:
                raise InputError(f"pytest.mark.robust_{name} takes one or more {name}, by position")
            marked[name] = list(marker.args)
        return marked


def _changed(plan: Plan, attacks: Any, eps: Any, limit: int | None) -> Plan:
    """The plan with other attacks or eps, and no more cases than `limit`."""
    from robust.plan.load import make_plan

    raw = plan.model_dump(exclude_unset=True)
    if attacks is not None:
        if isinstance(attacks, str) or not all(isinstance(attack, str) for attack in attacks):
            raise InputError("attacks must be a list of names; put their parameters into the plan")
        raw["attacks"] = [{"name": name} for name in attacks]
    if eps is not None:
        raw.setdefault("audit", {})["eps"] = eps
    if limit is not None and plan.data is not None:
        raw["data"]["limit"] = min(limit, plan.data.limit or limit)
    return make_plan(raw, "plan")


def explain(outcome: pytest.TestReport, reports: Iterable[Report]) -> None:
    """Put the tables of its audits on a test's outcome, and their results on a failed one."""
    reports = list(reports)
    if not reports:
        return
    vars(outcome)[TABLES] = [table(report) for report in reports]
    if not outcome.failed:
        return
    for report in reports:
        name, text = f"robustness: {plain(report.title)}", "\n".join(result_lines(report))
        # As a part of the failure itself it reaches JUnit and the workers' way home as well.
        add = getattr(outcome.longrepr, "addsection", None)
        if add is not None:
            add(name, text)
        else:  # the failure is plain text, as with pytest.fail(pytrace=False)
            outcome.sections.append((name, text))


def result_lines(report: Report) -> list[str]:
    """A line for clean images and for each eps: accuracy, number of cases, strongest attacks.

    Of outlines the shares that are outlined well, with the mean Dice.
    """
    clean, said = report.clean.scores.accuracy, words(report).scores
    right, still_right = said["accuracy"], said["robust_accuracy"]
    cases, groups = report.data.cases, report.data.groups
    population = f"{counted(cases, 'case')} of {counted(groups, 'group')}"
    lines = [f"clean: {right} {percent(clean)} on {population}{_dice_text(report.clean)}"]
    for verdict in verdicts(report):
        row = verdict.worst_case
        robust_accuracy = row.scores.robust_accuracy
        if robust_accuracy is None:
            lines.append(
                f"{condition(row)}: no {still_right}, "
                f"{row.failed} of {row.attacked} attacked cases could not be evaluated"
            )
            continue
        line = (
            f"{condition(row)}: {still_right} {percent(robust_accuracy)} on "
            f"{counted(robust_accuracy.cases, 'attacked case')} of "
            f"{counted(robust_accuracy.groups, 'group')}{_dice_text(row)}"
        )
        withheld = f"; {verdict.word}" if is_withheld(verdict.word) else ""
        lines.append(line + _strongest_text(verdict) + withheld)
    if not report.is_finished:
        lines.append(f"not finished; missing: {report.missing_text}")
    if report.flags:
        lines.append(f"warnings: {', '.join(plain(flag.name) for flag in report.flags)}")
    return lines


def _dice_text(row: AttackResult) -> str:
    """`; mean Dice 0.940 [0.900, 0.980]`; empty for classes."""
    dice = row.scores.dice
    return "" if dice is None else f"; mean Dice {decimal(dice)}"


def _strongest_text(verdict: Verdict) -> str:
    """The strongest attacks; none for a curve, whose attacks share the cases."""
    success = verdict.worst_case.scores.success
    if success is not None and success.value == 0:
        return "; no attack succeeded"
    return f"; strongest: {listed(verdict.strongest)}" if verdict.strongest else ""


def table(report: Report) -> str:
    """The report as a terminal shows it, without the text of its warnings and without colours."""
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, force_terminal=False, color_system=None)
    console.print(render_terminal(report, attacks=4, warnings=0))
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())
