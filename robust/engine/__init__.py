"""Attacks times cases to a run store: inputs, session, cells, runner, verified attacks, results."""

from robust.plan.code import require_own_packages

require_own_packages()
