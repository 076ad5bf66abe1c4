"""Doubts about the attacks: gradients that lead nowhere, and the symptoms of their masking."""

from __future__ import annotations

from robust.diagnostics.evidence import Evidence
from robust.records import Flag
from robust.units import format_threat

SOME = 3
"""Cases from which a symptom is more than the luck of one attack on one image."""


def _many(found: int, of: int, share: float) -> bool:
    return found >= SOME and found >= share * of


def no_gradient(e: Evidence) -> Flag | None:
    if e.probe is None:
        return None
    g = e.probe.gradients
    if not g.missing and not _many(g.vanishing, g.cases, 0.1):
        return None
    seen = (
        "the model hands no gradient back"
        if g.missing
        else f"on {g.vanishing} of {g.cases} cases the gradient of the margin is zero or nearly so"
        + f", yet random moves change the logits of {g.still_moving} of them" * bool(g.still_moving)
    )
    return Flag(
        "gradients vanish",
        seen,
        "an attack that follows gradients stands still there and calls the case robust",
        "take out what blocks them (rounding, clipping, a library outside torch), or attack a "
        "differentiable stand-in and without gradients",
    )


def misleading(e: Evidence) -> Flag | None:
    if e.probe is None:
        return None
    g = e.probe.gradients
    if not _many(g.misleading, g.judged, 0.25):
        return None
    return Flag(
        "gradients mislead",
        f"on {g.misleading} of {g.judged} cases a small move along the gradient changes the margin "
        f"by less than a third, or more than three times, of what the gradient promises",
        "the gradient is not that of the function: attacks that follow it are weak",
        "look for custom backward passes and sparse activations; attack without gradients",
    )


def rounded_input(e: Evidence) -> Flag | None:
    if e.probe is None or not _many(e.probe.gradients.steps, e.probe.cases, 0.25):
        return None
    return Flag(
        "input is rounded",
        f"on {e.probe.gradients.steps} of {e.probe.cases} cases a move of a tenth of a grey level "
        f"leaves every logit as it is to the last bit, a larger one does not",
        "the model is a staircase (quantising, JPEG): its true gradient is zero, and small changes "
        "vanish that a file of more bits would carry",
        "hand over the model without it, or with a differentiable stand-in in its backward pass",
    )


def black_box_wins(e: Evidence) -> Flag | None:
    s = e.probe.search if e.probe else None
    if s is None or not _many(s.black_box, s.cases, 0.1):
        return None
    return Flag(
        "black box beats white box",
        f"of {s.cases} cases that the plan's attacks with gradients left standing at "
        f"{format_threat(s.norm, s.eps, default='')}, {s.black_box} withstood {s.steps} more steps and fell to at "
        f"most {s.queries} queries without gradients",
        "who sees the gradients can do all that one can who does not: they are masked, and robust "
        "accuracy is lower than it looks",
        "add Square to the plan; attack a stand-in whose gradients are those of the function",
    )


def boundless(e: Evidence) -> Flag | None:
    p = e.probe
    if p is None or not _many(p.boundless, p.cases, 0.2):
        return None
    return Flag(
        "attacks fail without bounds",
        f"{p.boundless} of {p.cases} cases stand although every pixel may take any value",
        "there the image of another class is within reach: what fails is the attack",
        "look for masked gradients; attack without gradients",
    )


def rises_with_eps(e: Evidence) -> Flag | None:
    worst = None
    for row in e.rows:
        for other in e.rows:
            if (row.attack, row.norm) != (other.attack, other.norm):
                continue
            if row.attack not in e.stepwise or row.eps is None or other.eps is None:
                continue
            one, more = row.scores.success, other.scores.success
            if row.eps < other.eps and one is not None and more is not None:
                lost = round(one.value * one.cases) - round(more.value * more.cases)
                if _many(lost, row.attacked, 0.02) and (worst is None or lost > worst[0]):
                    worst = lost, row, other
    if worst is None:
        return None
    lost, row, other = worst
    return Flag(
        "accuracy rises with eps",
        f"{row.condition} fells {lost} cases more than {other.condition}",
        "what is within the smaller eps is within the larger: the attack fails at what it could do",
        "believe the worst case, which keeps what was found at smaller eps; look for masked "
        "gradients, take more steps",
    )


def more_still_helps(e: Evidence) -> Flag | None:
    s = e.probe.search if e.probe else None
    if s is None or not _many(s.longer, s.cases, 0.15):
        return None
    return Flag(
        "more steps still help",
        f"of {s.cases} cases that the plan's attacks left standing at {format_threat(s.norm, s.eps, default='')}, "
        f"{s.steps} steps and {s.restarts} restarts fell {s.longer}",
        "the attacks had not come to their end: robust accuracy is lower than it looks",
        "raise steps and restarts until nothing more falls",
    )


def objective_stuck(e: Evidence) -> Flag | None:
    stuck = [one for one in e.stuck if _many(one.stuck, one.attacked, 0.05)]
    if not stuck:
        return None
    worst = max(stuck, key=lambda one: one.stuck / one.attacked)
    return Flag(
        "the objective does not rise",
        f"{worst.attacks} at {format_threat(worst.norm, worst.eps, default='')} left {worst.stuck} of "
        f"{worst.attacked} cases no nearer to a wrong label than the clean image is",
        "an attack that cannot improve on doing nothing says nothing about robustness",
        "look for masked gradients and steps of the wrong length; add an attack on the margin",
    )


def no_better_than_noise(e: Evidence) -> Flag | None:
    noise = {
        (row.norm, row.eps): row.scores.success.value
        for row in e.rows
        if row.baseline and row.scores.success is not None
    }
    for row in e.rows:
        success, baseline = row.scores.success, noise.get((row.norm, row.eps))
        if row.baseline or success is None or not baseline or row.eps == 0:
            continue
        if success.value <= baseline:
            return Flag(
                "no better than noise",
                f"{row.attack} succeeds on {success.value:.1%}, noise of the same size on "
                f"{baseline:.1%}",
                "an attack that random noise equals has not used the model's gradients",
                "look for masked gradients; run stronger attacks before believing the number",
            )
    return None


def short_travel(e: Evidence) -> Flag | None:
    if not e.short:
        return None
    said = ", ".join(f"{name} travels {travel:.3g} eps" for name, travel in e.short.items())
    return Flag(
        "steps too short to cross the ball",
        f"{said} from a random start",
        "from one side of the ball to the other it is 2 eps: where the start is bad, the attack "
        "cannot leave it",
        "raise steps or step_size until their product is 2 or more, or start at the image",
    )


def saturation(e: Evidence) -> Flag | None:
    worst = max(e.rows, key=lambda row: row.saturated, default=None)
    if worst is None or not worst.saturated:
        return None
    return Flag(
        "cross-entropy saturates",
        f"on {worst.saturated} of {worst.attacked} cases under {worst.attack} the probability of "
        f"the true label is so near 1 that the gradient of cross-entropy has lost half its digits",
        "an attack on cross-entropy alone may stall there and call the case robust; the attacks of "
        "this suite climb the margin instead on such cases",
        "nothing for them; distrust figures from other attacks that have no margin",
    )
