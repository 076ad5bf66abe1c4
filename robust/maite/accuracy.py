"""Accuracy as a MAITE metric, with its interval by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robust.errors import InputError
from robust.metrics.by_group import ByGroup
from robust.records import Estimate

if TYPE_CHECKING:
    from maite.protocols import DatumMetadata, MetricMetadata
    from maite.protocols import image_classification as ic


class MaiteAccuracy:
    """A `maite.protocols.image_classification.Metric`: the share read correctly, with its interval.

    The interval is that of the report: 95 %, by `group` in the metadata (the patient). On images of
    a `MaiteAttack` it is accuracy under attack, and robust accuracy is the share of the attacked
    cases, all read correctly without attack, that stay so.
    """

    metadata: MetricMetadata

    def __init__(self, *, grouped: bool = True) -> None:
        """With `grouped=False` each image is its own group, as where no patients are known."""
        self.grouped = grouped
        self.metadata = {"id": "accuracy with a 95 % interval by group"}
        self.reset()

    def reset(self) -> None:
        """Forget all predictions."""
        self._right: list[bool] = []
        self._groups: list[str] = []
        self._attacked: list[bool] = []

    def update(
        self,
        predictions: Sequence[npt.ArrayLike],
        targets: Sequence[npt.ArrayLike],
        metadata: Sequence[DatumMetadata],
        /,
    ) -> None:
        """Add a batch; InputError where a case has no group, or the lists differ in length."""
        if not len(predictions) == len(targets) == len(metadata):
            raise InputError(
                f"a batch has {len(predictions)} predictions, {len(targets)} targets and metadata "
                f"of {len(metadata)} cases"
            )
        for predicted, target, one in zip(predictions, targets, metadata):
            told: Mapping[str, Any] = {**one}
            if self.grouped and "group" not in told:
                raise InputError(
                    f"case {told['id']} has no group (the patient) in its metadata; "
                    f"MaiteAccuracy(grouped=False) takes each image as its own group"
                )
            self._right.append(bool(np.argmax(predicted) == np.argmax(target)))
            self._groups.append(str(told["group"] if self.grouped else len(self._groups)))
            self._attacked.append(bool(told.get("attacked", False)))

    def compute(self) -> dict[str, float | int | None]:
        """`accuracy`, `low` and `high` (None with too few groups), `cases` and `groups`.

        And, where cases were attacked, the same of these with `robust_` before each name.
        """
        by_group = ByGroup(self._groups)
        found = by_group.rate(self._right)
        if found is None:
            raise InputError("no batch was given; there is nothing to compute")
        robust = by_group.rate(self._right, self._attacked)
        return {**_plain(found), **(_plain(robust, "robust_") if robust else {})}


def _plain(one: Estimate, before: str = "") -> dict[str, float | int | None]:
    values = {
        "accuracy": one.value,
        "low": one.low,
        "high": one.high,
        "cases": one.cases,
        "groups": one.groups,
    }
    return {f"{before}{name}": value for name, value in values.items()}


if TYPE_CHECKING:

    def _is_metric(metric: MaiteAccuracy) -> ic.Metric:
        return metric
