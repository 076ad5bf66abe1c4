"""Sentences on corruptions: errors on images that scanners, storage and movement spoil."""

from __future__ import annotations

from robust.records import CorruptedScores, CorruptionResult, Report
from robust.report.text.format import plain, rate_of_hundred, short, whole_percent
from robust.report.text.words import words


def corruption_sentences(report: Report) -> tuple[str, ...]:
    """What corruption does, which kind is worst, what an attack of that size does, BE and rBE."""
    result = report.corruptions
    if result is None:
        return ()
    said = words(report)
    first = (
        f"Scanners, storage and movement spoil {said.image}s without any attacker. A program "
        f"imitated that ({plain(result.modality)}, {_kinds(result)}). Error means "
        f"{said.error}: {said.error_means}. It is {rate_of_hundred(result.clean)} of 100 without "
        f"corruption, and {rate_of_hundred(result.mean)} of 100 in the mean over all kinds and "
        "severities."
    )
    parts = [first]
    if (worst := worst_corruption(result)) is not None:
        parts.append(_worst(worst))
    if sentence := _relative(result):
        parts.append(sentence)
    return tuple(parts)


def corruption_lines(report: Report) -> tuple[str, ...]:
    """`balanced error: 8 % [5, 12], corrupted 23 % [17, 30], worst motion at severity 5 61 %`."""
    result = report.corruptions
    if result is None:
        return ()
    line = f"{words(report).error}: {whole_percent(result.clean)}, corrupted "
    line += whole_percent(result.mean)
    if (worst := worst_corruption(result)) is not None:
        line += f"; {corruption_text(worst)} {whole_percent(worst.error)}"
    return (line,)


def worst_corruption(result: CorruptionResult) -> CorruptedScores | None:
    """The kind and severity with the largest error; None without any."""
    return max(result.scores, key=lambda one: one.error.value, default=None)


def corruption_text(scores: CorruptedScores) -> str:
    """`motion at severity 5`."""
    return f"{short(scores.kind)} at severity {scores.severity}"


def _kinds(result: CorruptionResult) -> str:
    kinds = "1 kind" if len(result.kinds) == 1 else f"{len(result.kinds)} kinds"
    severities = sorted({one.severity for one in result.scores})
    if not severities:
        return kinds
    span = f"{severities[0]} to {severities[-1]}" if len(severities) > 1 else f"{severities[0]}"
    return f"{kinds} at severit{'y' if len(severities) == 1 else 'ies'} {span}"


def _worst(worst: CorruptedScores) -> str:
    text = (
        f"The worst is {corruption_text(worst)}: {rate_of_hundred(worst.error)} of 100, a change "
        f"of L2 {worst.median_l2.value:.2f} (median)."
    )
    if worst.attacked is None:
        return f"{text} No attack made images that near, so there is nothing to set beside it."
    text += (
        " Where each case shows the most damaging image that an attack found no farther from it, "
        f"the error is {rate_of_hundred(worst.attacked)} of 100."
    )
    if worst.attacked.value > worst.error.value:
        return text
    return f"{text} That is no worse: no attack of the audit went that far, or it is weak there."


def _relative(result: CorruptionResult) -> str:
    """BE and rBE beside the reference, by its name."""
    if not result.reference or result.be is None:
        return ""
    clean, mean = result.reference_clean, result.reference_mean
    text = f"The reference is {plain(result.reference)}"
    if clean is not None and mean is not None:
        text += (
            f", with an error of {rate_of_hundred(clean)} of 100 without corruption and "
            f"{rate_of_hundred(mean)} with it"
        )
    text += f". BE is {result.be:.3f}: {_beside(result.be, 'error on corrupted images')}"
    if result.rbe is None:
        return f"{text}. There is no rBE, because the reference loses nothing."
    return f"{text}. rBE is {result.rbe:.3f}: {_beside(result.rbe, 'loss by corruption')}."


def _beside(ratio: float, what: str) -> str:
    if abs(ratio - 1) < 0.0005:
        return f"the {what} is that of the reference"
    return f"the {what} is {'larger' if ratio > 1 else 'smaller'} than that of the reference"
