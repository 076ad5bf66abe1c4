"""Hooks and fixtures of the pytest plugin: a classifier's robustness as an ordinary test.

It is loaded into every pytest of an environment that has robust, most of which never ask for an
audit: whatever is heavy is imported when a fixture is first used.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import pytest

from robust.pytest_plugin.options import TABLES, default_device, default_plan

if TYPE_CHECKING:
    from collections.abc import Generator

    from robust.pytest_plugin.audits import Robustness
    from robust.pytest_plugin.benchmark import AttackBenchmark


_CURRENT = pytest.StashKey[pytest.Item]()
_ROBUSTNESS = pytest.StashKey["Robustness"]()

MARKERS = (
    "robust_eps(*eps): audits in this test attack at these eps ('1/255' or numbers in [0, 1]); "
    "the call of `robustness` overrides it, and it overrides the plan",
    "robust_attacks(*attacks): audits in this test run these attacks, in place of the plan's",
)


def _at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} leaves no case; give a whole number from 1")
    return int(text)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line and of the ini file."""
    group = parser.getgroup("robust", "robustness of medical image classifiers")
    group.addoption("--robust-plan", metavar="FILE", help="Plan that `robustness()` runs.")
    group.addoption("--robust-device", metavar="NAME", help="cpu, cuda, or auto.")
    group.addoption(
        "--robust-limit", metavar="N", type=_at_least_one, help="Maximum number of cases."
    )
    parser.addini("robust_plan", "plan that `robustness()` runs, relative to this file")
    parser.addini("robust_device", "cpu, cuda, or auto")


def pytest_configure(config: pytest.Config) -> None:
    """Markers, a check of the default plan, and the benchmark fixture."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    plan = default_plan(config)
    if plan is not None and not plan.is_file():
        raise pytest.UsageError(f"robust: no such plan: {plan}")
    timed = config.pluginmanager.hasplugin("benchmark")
    config.pluginmanager.register(
        _WithBenchmark() if timed else _WithoutBenchmark(), "robust-speed"
    )


@pytest.fixture(scope="session")
def robustness(pytestconfig: pytest.Config) -> Robustness:
    """Run a robustness audit and return its Report.

    `robustness(classifier, cases, eps=["1/255"])` takes what `robust.audit` takes;
    `robustness("plan.toml")` and, for the plan of --robust-plan, `robustness()` run a plan, once
    a session. Then `assert report.worst.robust_accuracy.low > 0.6`; of a segmenter,
    `report.worst.dice.low > 0.7` or `report.worst.outlines["lungs"].missed.high < 0.1`. It may be
    used from fixtures of any scope.
    """
    from robust.pytest_plugin.audits import Robustness

    fixture = Robustness(pytestconfig, lambda: pytestconfig.stash.get(_CURRENT, None))
    pytestconfig.stash[_ROBUSTNESS] = fixture
    return fixture


class _WithBenchmark:
    """The fixture `attack_benchmark` where pytest-benchmark is installed.

    `benchmark` is among the arguments, so that --benchmark-only and --benchmark-skip select the
    tests that time something.
    """

    @pytest.fixture
    def attack_benchmark(self, benchmark: Any, pytestconfig: pytest.Config) -> AttackBenchmark:
        """Time an attack with pytest-benchmark, beside the bare passes that it needs.

        `attack_benchmark("PGD", classifier, x, y, eps="4/255")` returns an `AttackSpeed` and stores
        its numbers as `extra_info` of the benchmark.
        """
        from robust.pytest_plugin.benchmark import AttackBenchmark

        return AttackBenchmark(benchmark, default_device(pytestconfig))


class _WithoutBenchmark:
    """The fixture `attack_benchmark` where pytest-benchmark is not installed."""

    @pytest.fixture
    def attack_benchmark(self) -> None:
        """Needs pytest-benchmark, which is not installed or switched off."""
        pytest.skip("attack_benchmark needs pytest-benchmark: pip install pytest-benchmark")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note which test runs."""
    # A session-wide fixture cannot see the test that calls it, and the markers are that test's.
    item.config.stash[_CURRENT] = item


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the tables of a test's audits on its outcome."""
    outcome = yield
    used = item.config.stash.get(_ROBUSTNESS, None)
    if used is not None and outcome.when != "teardown":
        from robust.pytest_plugin.audits import explain

        explain(outcome, used.reports_of(item))
    return outcome


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print each audit once, with the tests that use it; silent with -qq."""
    if config.get_verbosity() < -1:
        return
    tests: dict[str, dict[str, None]] = {}
    for outcomes in terminalreporter.stats.values():
        for outcome in outcomes:
            for table in getattr(outcome, TABLES, ()):
                tests.setdefault(table, {})[outcome.nodeid] = None
    if tests:
        terminalreporter.section("robustness")
    for table, names in tests.items():
        first, *others = names
        more = f" and {len(others)} more" if others else ""
        terminalreporter.line(f"{first}{more}", cyan=True)
        terminalreporter.line(table)
        terminalreporter.line("")
