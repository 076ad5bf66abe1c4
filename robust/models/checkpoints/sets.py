"""Sets of weights in a checkpoint: finds them under any key, and chooses the one to audit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from robust.errors import InputError, did_you_mean, excerpt
from robust.models.checkpoints.inert import Inert

_DEPTH = 5
_NOT_WEIGHTS = re.compile(
    r"(^|_)(optims?|optimi[sz]ers?|sched|schedulers?|scaler|amp|rng|loops|args|hyper_parameters"
    r"|hparams|config|cfg)(_|$)",
    re.IGNORECASE,
)
"""Keys of what a trainer keeps beside the network."""
_AVERAGED = re.compile(r"(^|[._])ema([._]|$)", re.IGNORECASE)
_LIGHTNING = "current_model_state"
"""Where Lightning keeps the weights of the last step, if `state_dict` holds their average."""
LEAST_SHARE = 0.4
"""Share of the largest set's tensors that another set of weights has: averages lack buffers, which
are half of a network's tensors at most."""


@dataclass(frozen=True)
class WeightSet:
    """Tensors by name, as they lie in a file."""

    key: str
    """Keys that lead to it, joined by dots; empty for the file itself."""
    state: Mapping[str, Tensor]

    @property
    def title(self) -> str:
        """Its key in a sentence."""
        return excerpt(self.key or "the file's own names", 80)


def find_sets(content: Any) -> list[WeightSet]:
    """All mappings that hold tensors, but for those of the optimizer and the like."""
    return [one for one in _walk(content, "", 0) if one.state]


def is_averaged(key: str) -> bool:
    """Whether a key says that its weights are an exponential moving average."""
    return _AVERAGED.search(key) is not None


def entries_of(content: Any) -> Mapping[Any, Any] | None:
    """What a dict, or an inert object filled like one, holds; None of anything else."""
    if isinstance(content, Inert):
        return content.entries
    return content if isinstance(content, Mapping) else None


def unnamed_note(content: Any) -> str:
    """That a file holds averaged weights without names, which cannot be used; empty where not."""
    found = [key for key in _lists(content, "", 0) if is_averaged(key) or "shadow" in key]
    if not found:
        return ""
    return (
        f"the averaged weights in {excerpt(found[0])} have no names and are not used; save them "
        f"into the network before its state_dict()"
    )


def _lists(content: Any, key: str, depth: int) -> Iterator[str]:
    """Keys of lists of tensors."""
    entries = entries_of(content)
    for name, value in (entries or {}).items() if depth <= _DEPTH else ():
        inside = f"{key}.{name}".lstrip(".")
        if isinstance(value, list) and len(value) > 1 and all(isinstance(v, Tensor) for v in value):
            yield inside
        elif isinstance(name, str) and not _NOT_WEIGHTS.search(name):
            yield from _lists(value, inside, depth + 1)


def _walk(content: Any, key: str, depth: int) -> Iterator[WeightSet]:
    entries = entries_of(content)
    if entries is None or depth > _DEPTH:
        return
    tensors = {str(n): v for n, v in entries.items() if isinstance(v, Tensor)}
    yield WeightSet(key, tensors)
    for name, value in entries.items():
        if isinstance(name, str) and not _NOT_WEIGHTS.search(name):
            yield from _walk(value, f"{key}.{name}".lstrip("."), depth + 1)


@dataclass(frozen=True)
class ChosenSet:
    """One set of weights, and what the user should know of the choice."""

    state: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def choose_set(
    sets: Sequence[WeightSet],
    source: object,
    fits: Callable[[Mapping[str, Tensor]], bool],
    key: str | None = None,
) -> ChosenSet:
    """The set named by `key`, else the only one that fits, else the averaged one of two.

    So do timm's own loaders (`state_dict_ema`, `model_ema`). What an average lacks, the buffers, is
    that of the other set. InputError that names the keys where nothing decides.
    """
    if key is not None:
        return ChosenSet(dict(_named(sets, key, source).state))
    most = max(len(one.state) for one in sets)
    large = [one for one in sets if len(one.state) >= max(1, LEAST_SHARE * most)]
    small = [one for one in sets if one not in large and len(one.state) > 1]
    averaged = [one for one in large if is_averaged(one.key)]
    plain = [one for one in large if one not in averaged]
    notes = _left_out(small)
    if len(large) == 1:
        return ChosenSet(dict(large[0].state), notes)
    if len(averaged) == 1:
        filled = _completed(averaged[0], [one for one in plain if fits(one.state)], fits)
        if filled is not None:
            return ChosenSet(filled.state, (*filled.notes, *notes))
    fitting = [one for one in large if fits(one.state)]
    by_key = {one.key: one for one in fitting}
    if len(fitting) == 2 and {"state_dict", _LIGHTNING} == set(by_key):
        note = f"the weights are those in state_dict, the average; {_LIGHTNING} is not used"
        return ChosenSet(dict(by_key["state_dict"].state), (note, *notes))
    if len(fitting) == 1:
        others = [one for one in sets if one is not fitting[0] and len(one.state) > 1]
        return ChosenSet(dict(fitting[0].state), _left_out(others))
    listed = ", ".join(one.title for one in (fitting or large)[:8])
    example = (fitting or large)[-1].title
    which = "that fit" if fitting else "and none fits as it is"
    raise InputError(
        f"{source} holds several sets of weights {which}: {listed}; choose one: "
        f"weights_key = {example!r} in [model]"
    )


def _completed(
    averaged: WeightSet,
    plain: Sequence[WeightSet],
    fits: Callable[[Mapping[str, Tensor]], bool],
) -> ChosenSet | None:
    """The averaged weights, with the buffers of the only plain set; None where they do not fit."""
    if len(plain) > 1:
        return None
    other = plain[0].title if plain else ""
    note = f"the weights are the averaged ones in {averaged.title}, as the trainer's own loader"
    note += f" takes them; those in {other} are not used" if other else " takes them"
    change = f"; weights_key = {other!r} in [model] takes the others" if other else ""
    if fits(averaged.state):
        return ChosenSet(dict(averaged.state), (note + change,))
    if plain:
        together = {**plain[0].state, **averaged.state}
        if len(together) == len(plain[0].state) and fits(together):
            note = f"the weights are the averaged ones in {averaged.title}, which lack buffers;"
            return ChosenSet(together, (f"{note} those are of {other}{change}",))
    return None


def _left_out(sets: Sequence[WeightSet]) -> tuple[str, ...]:
    if not sets:
        return ()
    named = ", ".join(one.title for one in sets[:6])
    return (f"the weights file also holds tensors that are not used: {named}",)


def _named(sets: Sequence[WeightSet], key: str, source: object) -> WeightSet:
    for one in sets:
        if one.key == key:
            return one
    beginning = key.rstrip(".") + "."
    for one in sets:
        inside = {n: v for n, v in one.state.items() if n.startswith(beginning)}
        if inside:
            return WeightSet(key, inside)
    keys = [one.key for one in sets if one.key]
    hint = (
        did_you_mean(key, keys) if keys else "its tensors lie under no key: leave weights_key out"
    )
    raise InputError(f"{source} holds no tensors under weights_key = {key!r}; {hint}")
