"""Warnings about the attacks: gradient masking (Athalye et al. 2018; Carlini et al. 2019).

Each check returns what it observed where its warning is raised, else None; `FLAG_TEXTS` says why
the warning matters and what to do.
"""

from __future__ import annotations

from robust.diagnostics.evidence import Evidence
from robust.records import AttackResult
from robust.records.stages.probe import LineSearch
from robust.units import percent_text, printed_threat

MIN_CASES = 3
"""Fewest cases that count as a symptom: fewer may be chance."""


def _many(found: int, of: int, share: float) -> bool:
    return found >= MIN_CASES and found >= share * of


def vanishing_gradients(e: Evidence) -> str | None:
    """Raised if the model gives no gradient, or a nearly zero one on 10 % of the probed cases."""
    if e.probe is None:
        return None
    g = e.probe.gradients
    if g.missing:
        return "the model gives no gradient"
    if not _many(g.vanishing, g.cases, 0.1):
        return None
    moving = f", yet random changes move the logits of {g.still_moving} of them"
    return (
        f"on {g.vanishing} of {g.cases} cases the gradient of the margin is zero or nearly so"
        f"{moving if g.still_moving else ''}"
    )


def misleading_gradients(e: Evidence) -> str | None:
    """Raised if steps along the gradient do not change the margin as predicted, on 25 %."""
    if e.probe is None:
        return None
    g = e.probe.gradients
    if not _many(g.misleading, g.judged, 0.25):
        return None
    return (
        f"on {g.misleading} of {g.judged} cases a small step along the gradient changes the margin "
        f"by less than a third, or more than three times, of what the gradient predicts"
    )


def rounded_input(e: Evidence) -> str | None:
    """Raised if a tenth of a grey level changes no logit, and a larger change does, on 25 %.

    Or if it is known of the model.
    """
    if e.grey_levels is not None:
        return (
            f"the model takes images of {e.grey_levels} grey levels: every attacked image is "
            f"rounded before the model sees it"
        )
    if e.probe is None or not _many(e.probe.gradients.steps, e.probe.cases, 0.25):
        return None
    return (
        f"on {e.probe.gradients.steps} of {e.probe.cases} cases a change of a tenth of a grey "
        f"level leaves every logit identical to the last bit, a larger one does not"
    )


def gradients_point_away(e: Evidence) -> str | None:
    """Raised if lines that the gradient leads away from reach a misreading, on 2 %."""
    found = e.probe.lines if e.probe else None
    if found is None or not _many(found.away, found.cases, 0.02):
        return None
    return (
        f"{_searched(found)}, {found.away} {e.fell} on a line against the gradient, or on one "
        f"along which the margin falls before it rises"
    )


def narrow_regions(e: Evidence) -> str | None:
    """Raised if lines cross misread stretches of at most an eighth of eps, on 2 %."""
    found = e.probe.lines if e.probe else None
    if found is None or not _many(found.narrow, found.cases, 0.02):
        return None
    return (
        f"{_searched(found)}, {found.narrow} {e.fell} on a stretch of at most an eighth of eps "
        f"of a line, with correct images on both sides"
    )


def _searched(found: LineSearch) -> str:
    return (
        f"of {found.cases} cases that the plan's attacks with gradients left correct at "
        f"{printed_threat(found.norm, found.eps)}, and that further steps left correct too"
    )


def black_box_wins(e: Evidence) -> str | None:
    """Raised if an attack without gradients succeeds where those with gradients fail, on 10 %."""
    s = e.probe.search if e.probe else None
    if s is None or not _many(s.black_box, s.cases, 0.1):
        return None
    return (
        f"of {s.cases} cases that the plan's attacks with gradients left correct at "
        f"{printed_threat(s.norm, s.eps)}, {s.black_box} also stayed correct after "
        f"{s.steps} more steps, but {e.fell} under an attack without gradients"
    )


def unbounded_failure(e: Evidence) -> str | None:
    """Raised if 20 % of the probed cases stay correct although every pixel may take any value."""
    p = e.probe
    if p is None or not _many(p.boundless, p.cases, 0.2):
        return None
    return f"{p.boundless} of {p.cases} cases stay correct although every pixel may take any value"


def rises_with_eps(e: Evidence) -> str | None:
    """Raised if an iterative attack succeeds on fewer cases at a larger eps, by 2 % of them."""
    worst = None
    for row in e.rows:
        for other in e.rows:
            lost = _lost(row, other) if row.attack in e.iterative else 0
            if _many(lost, row.attacked, 0.02) and (worst is None or lost > worst[0]):
                worst = lost, row, other
    if worst is None:
        return None
    lost, row, other = worst
    return f"{row.condition} succeeds on {lost} cases more than {other.condition}"


def _lost(row: AttackResult, other: AttackResult) -> int:
    """Successes of an attack that the same attack lacks at a larger eps; 0 for any other pair."""
    one, more = row.scores.success, other.scores.success
    if (row.attack, row.norm) != (other.attack, other.norm) or one is None or more is None:
        return 0
    if row.eps is None or other.eps is None or row.eps >= other.eps:
        return 0
    return round(one.value * one.cases) - round(more.value * more.cases)


def more_still_helps(e: Evidence) -> str | None:
    """Raised if more steps and restarts succeed on 15 % of the cases that attacks left correct."""
    s = e.probe.search if e.probe else None
    if s is None or not _many(s.longer, s.cases, 0.15):
        return None
    return (
        f"of {s.cases} cases that the plan's attacks left correct at "
        f"{printed_threat(s.norm, s.eps)}, {s.longer} {e.fell} after {s.steps} steps and "
        f"{s.restarts} restarts"
    )


def objective_stuck(e: Evidence) -> str | None:
    """Raised if all iterative attacks at one eps leave 5 % no nearer to a wrong class."""
    stuck = [one for one in e.stuck if _many(one.stuck, one.attacked, 0.05)]
    if not stuck:
        return None
    worst = max(stuck, key=lambda one: one.stuck / one.attacked)
    return (
        f"{worst.attacks} at {printed_threat(worst.norm, worst.eps)} left {worst.stuck} of "
        f"{worst.attacked} cases no nearer to a wrong {e.answer} than the clean image"
    )


def no_better_than_noise(e: Evidence) -> str | None:
    """Raised if an attack succeeds on no more cases than a baseline of the same size."""
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
            return (
                f"{row.attack} succeeds on {percent_text(success.value)}, noise of that size on "
                f"{percent_text(baseline)}"
            )
    return None


def short_steps(e: Evidence) -> str | None:
    """Raised if an attack with a random start has steps times step_size below 2 eps."""
    if not e.short_reach:
        return None
    moves = ", ".join(f"{name} can move {travel:.3g} eps" for name, travel in e.short_reach.items())
    return f"{moves} from a random start"


def saturation(e: Evidence) -> str | None:
    """Raised if the cross-entropy saturates and leaves 2 % no nearer to a wrong class."""
    left = [one for one in e.saturated if _many(one.stuck, one.attacked, 0.02)]
    if not left:
        return None
    worst = max(left, key=lambda one: one.stuck)
    return (
        f"{worst.stuck} of {worst.attacked} cases under {worst.attacks} are no nearer to a wrong "
        f"class: the probability of the true class is so near 1 that the gradient of cross-entropy "
        f"has lost half its digits"
    )
