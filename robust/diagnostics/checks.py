"""Doubts: one function looks for one reason not to believe a number, and says what to do."""

from __future__ import annotations

from collections.abc import Callable

from robust.diagnostics import data as checks_data
from robust.diagnostics import gradient_masking as checks_gradient
from robust.diagnostics import model as checks_model
from robust.diagnostics import run as checks_run
from robust.diagnostics.evidence import Evidence
from robust.records import Flag

CHECKS: tuple[Callable[[Evidence], Flag | None], ...] = (
    checks_run.null_alarm,
    checks_run.cut_short,
    checks_data.phantoms,
    checks_model.weak_clean,
    checks_model.below_the_claim,
    checks_model.random_outputs,
    checks_model.mixed_rows,
    checks_model.training_mode,
    checks_run.no_verdict,
    checks_gradient.no_gradient,
    checks_gradient.misleading,
    checks_gradient.black_box_wins,
    checks_gradient.boundless,
    checks_gradient.rises_with_eps,
    checks_gradient.objective_stuck,
    checks_gradient.no_better_than_noise,
    checks_gradient.more_still_helps,
    checks_gradient.rounded_input,
    checks_model.clipped_outputs,
    checks_gradient.short_travel,
    checks_data.shortcut,
    checks_run.too_few,
    checks_data.broken_files,
    checks_data.no_groups,
    checks_data.few_groups,
    checks_data.one_class,
    checks_run.few_successes,
    checks_run.copied_images,
    checks_model.probability_outputs,
    checks_data.grey_in_colour,
    checks_gradient.saturation,
    checks_run.same_attack_twice,
)


def find_doubts(evidence: Evidence) -> tuple[Flag, ...]:
    """All flags that the evidence raises, the gravest first."""
    return tuple(flag for check in CHECKS if (flag := check(evidence)) is not None)
