"""How a fitted detector separates held-out attacked images, by attack and by which cases fall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robust.detection.selection import attack_auc, explained_by_selection
from robust.guard.artifact import AUC
from robust.metrics.arrays import Array, Places
from robust.metrics.by_group import ByGroup
from robust.records import Estimate
from robust.records.estimate import TOO_FEW


@dataclass(frozen=True)
class HeldOut:
    """Scores of held-out images, clean ones that could be attacked and attacked ones."""

    clean: Array
    """`(n,)`."""
    attacked: Array
    """`(m,)`, successful attacks."""
    clean_places: Places
    """`(n,)`: the case of each clean score."""
    attacked_places: Places
    """`(m,)`, each of them among `clean_places`."""
    groups: Places
    """`(k,)`: the group of every case of the split."""


@dataclass(frozen=True)
class Separation:
    """AUCs as in `robust.records.DetectorScore`, and the clean images that are flagged."""

    paired_auc: AUC | None
    auc: AUC | None
    selection_auc: AUC | None
    explained_by_selection: bool
    originals_flagged: int


def separation(images: HeldOut, threshold: float) -> Separation:
    """Of one detector; an image without a score counts as the most suspicious."""
    found = attack_auc(
        images.clean,
        images.attacked,
        images.clean_places,
        images.attacked_places,
        ByGroup(images.groups.tolist()),
    )
    fell: npt.NDArray[np.bool_] = np.isin(images.clean_places, images.attacked_places)
    return Separation(
        paired_auc=_stored(found.paired),
        auc=_stored(found.all_clean),
        selection_auc=_stored(found.selection),
        explained_by_selection=len(images.attacked) >= TOO_FEW
        and explained_by_selection([found])[0],
        originals_flagged=int((images.clean[fell] > threshold).sum()),
    )


def _stored(estimate: Estimate | None) -> AUC | None:
    if estimate is None:
        return None
    return AUC(value=estimate.value, low=estimate.low, high=estimate.high)
