"""Names in a state dict matched to those of a network: wrappers, old names, heads of training."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from robust.errors import excerpt

_WRAPPER = re.compile(
    r"(?<![^.])(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\."
)
"""What data-parallel training, torch.compile and sharding put into names."""
_OLD_DENSENET = re.compile(r"(denselayer\d+)\.(norm|conv)\.(\d)")
"""Names of torchvision before 0.3, `denselayer1.norm.1`, which is `denselayer1.norm1` today."""
_HEADS = {
    *("head", "heads", "fc", "classifier", "cls_head", "classification_head", "linear", "logits"),
    *("last_linear", "out", "output", "output_layer", "final", "fc_out", "head_fc", "lin", "clf"),
}
"""Names for the last layer, where a trainer keeps it beside the rest of the network."""
_FOR_TRAINING = re.compile(
    r"^(AuxLogits|aux\d*|aux_\w+|\w+_aux|auxiliary\w*|head_dist|projector|proj_head"
    r"|projection\w*|mask_token|decode_head|ssl_head|rotation_head)(\.|$)"
)
"""Heads that a network has in training alone."""
_BESIDE = re.compile(
    r"^(crit|criterion\w*|loss|losses|loss_\w+|\w+_loss(es)?|loss_?fns?|metrics?|\w+_metrics?"
    r"|metric_\w+|b?ce|cross_entropy|focal|(\w+_)?(acc|accuracy|auroc|auc|auprc|ap|f1|f1_score|"
    r"precision|recall|sensitivity|specificity|kappa|mcc|mae|mse|confusion_matrix|confmat)(_best)?"
    r"|optimizer\w*|scheduler\w*|pos_weight|class_weights?|loss_weights?|n_averaged|num_updates"
    r"|ema_decay|decay|initted|step|steps|epoch|global_step|_dummy_variable|device_indicator)"
    r"(\.|$)|(^|\.)(total_ops|total_params|n_averaged|pos_weight)$",
    re.IGNORECASE,
)
"""Losses, metrics and counters that a trainer keeps beside the network."""
_ANCHORS = 12
"""Names of a network that beginnings are looked for with."""


@dataclass(frozen=True)
class Fitted:
    """A state dict under the names of a network, as far as they are found."""

    beginning: str
    """What stands before all names of the network in the file, such as `model.`."""
    within: str
    """What stands before all names of the network itself instead."""
    used: Mapping[str, str]
    """By name of the network: the name in the file."""
    missing: tuple[str, ...]
    """Names of the network that the file lacks."""
    unknown: tuple[str, ...]
    """Names in the file that neither belong to the network nor plainly beside it."""
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every tensor of the network is found."""
        return not self.missing

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors under the network's names, and the unknown ones under their own."""
        found = {name: state[old] for name, old in self.used.items()}
        return found | {old.removeprefix(self.beginning): state[old] for old in self.unknown}


def fits(network: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[Fitted]:
    """Every way in which a state dict holds a whole network; else the one way that finds most.

    Several ways mean several networks in one state dict, such as a student and a teacher.
    """
    own, theirs = names_without_wrappers(network), names_without_wrappers(state)
    ways = [
        _fit(network, state, own, theirs, begin, within)
        for begin, within in _beginnings(own, theirs)
    ]
    ways.sort(key=lambda way: (way.complete, len(way.used), -len(way.beginning)), reverse=True)
    whole = [way for way in ways if way.complete]
    if not whole:
        # Where little is found, names that end alike by chance would explain nothing.
        needed = sum(not _optional(name) for name in own)
        as_they_are = [way for way in ways if not way.beginning and not way.within]
        return ways[:1] if 2 * len(ways[0].used) > needed else as_they_are
    exact = [way for way in whole if not way.unknown]
    if exact:
        return exact[:1]
    different = list({frozenset(way.used.values()): way for way in reversed(whole)}.values())[::-1]
    return [replace(one, unknown=_beside(one, different)) for one in different]


def _beside(one: Fitted, ways: Iterable[Fitted]) -> tuple[str, ...]:
    """What is unknown to this way and to all the others."""
    known = {name for way in ways for name in way.used.values()}
    return tuple(name for name in one.unknown if name not in known)


def names_without_wrappers(names: Collection[str]) -> dict[str, str]:
    """By the name without wrappers and in today's form: the name as it stands."""
    plain = {_OLD_DENSENET.sub(r"\1.\2\3", _WRAPPER.sub("", name)): name for name in names}
    return plain if len(plain) == len(names) else {name: name for name in names}


def _beginnings(own: Mapping[str, str], theirs: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs of what stands before the names in the file and before those of the network.

    They are what is left of two names before their longest common end.
    """
    by_last: dict[str, list[str]] = defaultdict(list)
    for name in theirs:
        by_last[name.rpartition(".")[2]].append(name)
    needed = [name for name in own if not _optional(name)]
    found = Counter({("", ""): 1})
    for name in needed[:: max(1, len(needed) // _ANCHORS)]:
        ends = [(_common_end(name, other), other) for other in by_last[name.rpartition(".")[2]]]
        longest = max((length for length, _ in ends), default=0)
        for length, other in ends:
            if length == longest:
                found[other[: len(other) - length], name[: len(name) - length]] += 1
    return [pair for pair, _ in found.most_common(64)]


def _common_end(one: str, other: str) -> int:
    """Characters of the whole components that both names end with."""
    length = 0
    for a, b in zip(reversed(one.split(".")), reversed(other.split(".")), strict=False):
        if a != b:
            break
        length += len(a) + 1
    return min(length, len(one), len(other))


def _fit(
    network: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    own: Mapping[str, str],
    theirs: Mapping[str, str],
    begin: str,
    within: str,
) -> Fitted:
    """One way: names of the network begin with `within`, those of the file with `begin` instead."""
    used = {
        name: theirs[old]
        for plain, name in own.items()
        if plain.startswith(within) and (old := begin + plain.removeprefix(within)) in theirs
    }
    missing = [name for plain, name in own.items() if name not in used and not _optional(plain)]
    taken = set(used.values())
    rest = {plain: name for plain, name in theirs.items() if name not in taken}
    notes = []
    if missing and used:
        head = _other_head(network, state, own, missing, rest, begin, within)
        if head is not None:
            new, note = head
            used |= new
            notes.append(note)
            missing = []
            rest = {plain: name for plain, name in rest.items() if name not in new.values()}
    unknown = list(rest.values())
    if not missing:
        heads, beside, unknown = [], [], []
        for plain, name in rest.items():
            local = plain.removeprefix(begin)
            if _FOR_TRAINING.search(local) or _FOR_TRAINING.search(plain):
                heads.append(local)
            elif _BESIDE.search(local) or _BESIDE.search(plain):
                beside.append(plain)
            else:
                unknown.append(name)
        if heads:
            notes.append(f"left out of the weights, of use in training alone: {_tops(heads)}")
        if beside:
            notes.append(f"left out of the weights, not part of the network: {_tops(beside)}")
    return Fitted(begin, within, used, tuple(missing), tuple(unknown), tuple(notes))


def _optional(name: str) -> bool:
    """Old checkpoints lack the counter of batch-norm; it decides nothing."""
    return name.endswith("num_batches_tracked")


def _tops(names: Iterable[str]) -> str:
    """The parts that names belong to, in short."""
    tops = list(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))
    more = f" and {len(tops) - 4} more" if len(tops) > 4 else ""
    return ", ".join(excerpt(top, 60) for top in tops[:4]) + more


def _other_head(
    network: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    own: Mapping[str, str],
    missing: Collection[str],
    rest: Mapping[str, str],
    begin: str,
    within: str,
) -> tuple[dict[str, str], str] | None:
    """The head of a file under another name: in a Sequential, out of one, or beside the rest.

    The missing names must be one layer, and its inputs as many as those of the layer in the file.
    """
    plain_of = {name: plain for plain, name in own.items()}
    layers = {plain_of[name].rpartition(".")[0] for name in missing}
    if len(layers) != 1:
        return None
    place = layers.pop()
    leaves = {plain_of[name].rpartition(".")[2]: name for name in missing}
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for plain, name in rest.items():
        layer, _, leaf = plain.rpartition(".")
        groups[layer][leaf] = name
    beside = Counter(_outer(layer) for layer in groups)
    fitting = {
        layer: found
        for layer, found in groups.items()
        if found.keys() == leaves.keys()
        and not (_outer(layer) and beside[_outer(layer)] > 1)  # a head of several layers
        and all(
            network[leaves[leaf]].shape[1:] == state[name].shape[1:] for leaf, name in found.items()
        )
    }
    local = begin + place.removeprefix(within)
    for is_head in (
        lambda layer: _outer(layer) == local or _outer(local) == layer,
        lambda layer: _last_word(layer) in _HEADS,
    ):
        heads = _only(fitting, is_head)
        if heads is not None:
            new = {leaves[leaf]: name for leaf, name in fitting[heads].items()}
            return new, (
                f"{excerpt(heads, 60)} in the weights is read as the network's last layer, "
                f"{excerpt(place, 60)}; a layer without weights before it would not show"
            )
    return None


def _outer(layer: str) -> str:
    """The Sequential that holds a layer under a number; empty where none does."""
    above, _, last = layer.rpartition(".")
    return above if last.isdigit() else ""


def _last_word(layer: str) -> str:
    """The last component that is no number."""
    return next((part for part in reversed(layer.split(".")) if not part.isdigit()), "")


def _only(layers: Collection[str], chosen: Callable[[str], bool]) -> str | None:
    found = [layer for layer in layers if chosen(layer)]
    return found[0] if len(found) == 1 else None
