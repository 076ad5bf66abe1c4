"""All checks that can raise a warning, by the warning's name."""

from __future__ import annotations

from collections.abc import Callable

from robust.diagnostics import data, gradient_masking, model, outlines, run
from robust.diagnostics.evidence import Evidence
from robust.records import FLAG_TEXTS, Flag

Check = Callable[[Evidence], str | None]
"""What was observed, with the figures, where the warning is to be raised; None where not."""

CHECKS: dict[str, Check] = {
    "a null control raised an alarm": run.null_alarm,
    "which cases fall explains detection": run.selection_explains,
    "run cut short": run.cut_short,
    "certificate crossed": run.certificate_crossed,
    "synthetic images": data.phantoms,
    "clean accuracy no better than a constant": model.weak_clean,
    "classes in another order": model.other_order,
    "few clean images outlined well": outlines.poor_outlines,
    "constant predictions": model.constant_predictions,
    "clean accuracy below the claim": model.below_the_claim,
    "random outputs": model.random_outputs,
    "outputs depend on the batch": model.batch_dependence,
    "parts in training mode": model.training_mode,
    "the deployed version reads otherwise": model.twin_disagrees,
    "attacks without a verdict": run.not_evaluated,
    "workers disagree": run.workers_disagree,
    "no gradients": model.no_gradients,
    "gradients replaced": model.replaced_gradients,
    "gradients vanish": gradient_masking.vanishing_gradients,
    "gradients mislead": gradient_masking.misleading_gradients,
    "gradients point away from the boundary": gradient_masking.gradients_point_away,
    "adversarial regions narrower than a step": gradient_masking.narrow_regions,
    "black box beats white box": gradient_masking.black_box_wins,
    "attacks fail without bounds": gradient_masking.unbounded_failure,
    "accuracy rises with eps": gradient_masking.rises_with_eps,
    "the objective does not rise": gradient_masking.objective_stuck,
    "no better than noise": gradient_masking.no_better_than_noise,
    "more steps still help": gradient_masking.more_still_helps,
    "one step as strong as many": outlines.one_step_suffices,
    "another window in the attack": outlines.other_window,
    "input is rounded": gradient_masking.rounded_input,
    "labels in place of scores": model.labels_alone,
    "scores of the best classes alone": model.scores_cut,
    "scores are rounded": model.scores_rounded,
    "clipped outputs": model.clipped_outputs,
    "steps too short to cross the ball": gradient_masking.short_steps,
    "a column gives the label away": data.shortcut,
    "too few cases for the claim": run.too_few_cases,
    "broken files": data.broken_files,
    "image files left out": data.left_out,
    "images use a part of their range": data.part_of_range,
    "no groups": data.no_groups,
    "groups differ in spelling alone": data.groups_alike,
    "groups finer than file names": data.groups_finer_than_names,
    "few groups": data.few_groups,
    "missing class": data.missing_class,
    "structures missing from masks": outlines.empty_masks,
    "gaps in masks": outlines.gaps_in_masks,
    "few attacked images for detectors": run.few_successes,
    "copies of images": data.copied_images,
    "probabilities instead of logits": model.probability_outputs,
    "grey images in colour files": data.grey_in_colour,
    "cross-entropy saturates": gradient_masking.saturation,
    "the same attack twice": run.same_attack_twice,
}
"""In the order of `FLAG_TEXTS`, which holds the fixed texts of each warning."""


def find_flags(evidence: Evidence) -> tuple[Flag, ...]:
    """All warnings that the evidence raises, the gravest first."""
    observed = ((name, check(evidence)) for name, check in CHECKS.items())
    raised = [(FLAG_TEXTS[name], seen) for name, seen in observed if seen is not None]
    return tuple(text.flag(seen, outlines=evidence.outlines is not None) for text, seen in raised)
