"""Verdicts on the worst case at each eps, by the whole interval; withheld where a warning voids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from robust.records.flags import Flag, voiding
from robust.records.scores import AttackResult

WITHHELD = "no verdict"
"""How a verdict begins that is withheld; the name of the warning follows."""

MAX_FAILED = 0.05
"""Largest share of attacked cases that may fail to be evaluated before rates over all cases are
withheld: what is left would mostly be the cases already misread without attack."""


def too_many_failed(failed: int, attacked: int) -> bool:
    """Whether too many of the attacked cases could not be evaluated for a rate over all cases."""
    return failed > MAX_FAILED * attacked


def verdict(row: AttackResult, flags: Sequence[Flag]) -> str:
    """`robust`, `partly robust`, `mostly fooled`, `fails`, `undecided`, or `no verdict: ` and why.

    A warning that robust accuracy is too high leaves `fails` and `mostly fooled` as they are: an
    image that fools the model has been found. Where nothing was measured, nothing is withheld.
    """
    word = _word(row)
    if row.scores.success is None:
        return word
    shown = word in ("fails", "mostly fooled")
    flag = voiding(flags, "attacks" if shown else "robustness")
    return word if flag is None else f"{WITHHELD}: {flag.name}"


def is_withheld(word: str) -> bool:
    """Whether a verdict is withheld."""
    return word.startswith(WITHHELD)


def withholding(words: Iterable[str]) -> list[str]:
    """Names of the warnings that these withheld verdicts name, each once."""
    return list(dict.fromkeys(word.removeprefix(f"{WITHHELD}: ") for word in words))


def _word(row: AttackResult) -> str:
    success = row.scores.success
    if success is None or too_many_failed(row.failed, row.attacked):
        return "undecided"
    correct = success.complement
    if correct.is_below(0.1):
        return "fails"
    if correct.is_below(0.5):
        return "mostly fooled"
    if correct.is_at_least(0.9):
        return "robust"
    between = correct.is_at_least(0.5) and correct.is_below(0.9)
    return "partly robust" if between else "undecided"
