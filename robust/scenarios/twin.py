"""The deployed version of a model (exported, quantised, half precision) beside the audited one."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from attacks import ThreatModel
from robust.cases.consistency import check_outputs
from robust.engine.batch import first_images, read_batches
from robust.engine.cells import Cell, running_order
from robust.engine.run_memory import (
    TWIN,
    TWIN_CLEAN,
    TWIN_SHOWN,
    FinishedTwin,
    TwinPredictions,
    TwinShown,
)
from robust.engine.session import Session
from robust.errors import InputError
from robust.metrics.arrays import Mask
from robust.metrics.by_group import ByGroup
from robust.models import Adapter, Classifier, prepare, weights_hash
from robust.models.preparation import image_template, require_classifier
from robust.plan.spec import AuditSpec, ScenariosSpec
from robust.records import Estimate, Twin, TwinShownImages
from robust.scenarios.holdout import Holdout, make_holdout
from robust.scenarios.twin_attacks import attack_both
from robust.tasks.contract import Batch

QUERIES = 500
"""Query budget of the direct attacks where the plan names none."""


def check_twin(twin: Adapter | None) -> None:
    """InputError, before any work, where an attack on the deployed version cannot run."""
    if twin is None:
        return
    if twin.origin.is_black_box:
        raise InputError(
            "the twin is a black box, whose queries would not be counted; name the file that is "
            "deployed in [twin], or audit the black box itself: [model] endpoint or factory"
        )
    if importlib.util.find_spec("foolbox") is None:
        raise InputError("[twin] needs foolbox, for HopSkipJump; pip install foolbox")


def query_budget(spec: ScenariosSpec) -> int:
    """Of each direct attack, for each case."""
    return max(spec.queries, default=QUERIES)


def compare_twin(spec: ScenariosSpec, audit: AuditSpec, session: Session) -> Twin | None:
    """Both models on clean images, on attacked ones, and under direct attack; None without a twin.

    Every batch of cases is stored as soon as it is finished. InputError where the deployed version
    has other classes or takes other images.
    """
    if session.twin is None:
        return None
    comparison = _Comparison(spec, audit, session, require_classifier(session.twin))
    return session.store.memo(TWIN, lambda: FinishedTwin(comparison.run())).twin


class _Comparison:
    """One comparison, its deployed version ready."""

    def __init__(
        self, spec: ScenariosSpec, audit: AuditSpec, session: Session, twin: Classifier
    ) -> None:
        self.spec, self.audit, self.session = spec, audit, session
        cases = session.cases
        images = first_images(cases, range(len(cases)), audit.chunk)
        try:
            self.twin = prepare(twin, session.classifier.mean.device, images=images)
        except InputError as error:
            raise InputError(f"the twin does not fit: {error}") from None
        self._like = image_template(self.twin)

    def run(self) -> Twin:
        """From clean images to direct attacks."""
        found = self._clean()
        holdouts = self._holdouts(found)
        twin = self.twin
        return dataclasses.replace(
            self._clean_results(found),
            source=twin.origin.format,
            weights_sha256=weights_hash(twin),
            describe=twin.describe(),
            shown=() if holdouts is None else self._shown(*holdouts),
            attacked=()
            if holdouts is None
            else attack_both(
                *(*holdouts, self.session.store, self.audit.eps),
                queries=query_budget(self.spec),
                told=self._told,
            ),
        )

    def logits(self, x: Tensor) -> Tensor:
        """Of the deployed version, at the type and on the device of the images `x`."""
        out: Tensor = self.twin(x.to(self._like)).to(x.dtype)
        return out

    def _told(self, done: float, text: str) -> None:
        self.session.progress(done, 1.0, text)

    @torch.no_grad()
    def _predict(self, rows: Sequence[int]) -> TwinPredictions:
        session, labels = self.session, []
        known = {
            one.row for one in session.store.clean(rows[0], rows[-1] + 1) if one.kept is not None
        }
        like = image_template(session.classifier)
        for part, cases, x in read_batches(session.cases, [r for r in rows if r in known], like):
            try:
                logits = self.logits(x)
            except InputError as error:
                raise InputError(f"the twin does not fit: {error}") from None
            check_outputs(
                logits,
                session.cases.classes,
                model="the twin",
                remedy="it must answer the same question as the audited model",
                ids=[case.id for case in cases],
            )
            labels += list(zip(part, logits.argmax(1).tolist(), strict=True))
        return TwinPredictions(tuple(labels))

    def _clean(self) -> dict[int, int]:
        """By row, what the deployed version reads in each clean image."""
        found: dict[int, int] = {}
        chunks = self.session.runner.chunks
        for number, rows in enumerate(chunks):
            self._told(0.1 * number / len(chunks), "the deployed version on clean images")

            def made(rows: Sequence[int] = rows) -> TwinPredictions:
                return self._predict(rows)

            found.update(self.session.store.memo(TWIN_CLEAN.of(number), made).labels)
        return found

    def _clean_results(self, found: dict[int, int]) -> Twin:
        session = self.session
        audited = {
            one.row: int(one.kept.argmax()) for one in session.store.clean() if one.kept is not None
        }
        rows = sorted(audited)
        entries = [session.cases.entries[row] for row in rows]
        by_group = ByGroup([entry.group for entry in entries])
        mine, other = (np.array([said[row] for row in rows]) for said in (audited, found))
        truth = np.array([entry.label for entry in entries])
        return Twin(
            source="",
            weights_sha256="",
            agreement=_rate(by_group, mine == other),
            audited_accuracy=_rate(by_group, mine == truth),
            twin_accuracy=_rate(by_group, other == truth),
        )

    def _holdouts(self, found: dict[int, int]) -> tuple[Holdout, Holdout] | None:
        """The cases that both read correctly, for each model; None where they are too few."""
        session, audit = self.session, self.audit
        threat = ThreatModel(audit.norm, max(audit.eps))
        entries = session.cases.entries
        wrong = [row for row, label in found.items() if label != entries[row].label]
        mine = make_holdout(session, audit.seed, threat, self.spec.cases, without=wrong)
        if mine is None:
            return None
        other = dataclasses.replace(
            mine,
            logits=self.logits,
            batch=self._as_seen(mine.batch),
            others=self._as_seen(mine.others),
        )
        return mine, other

    @torch.no_grad()
    def _as_seen(self, batch: Batch) -> Batch:
        """The same cases with the logits of the deployed version."""
        logits = torch.cat([self.logits(x) for x in torch.split(batch.x, 32)])
        return dataclasses.replace(batch, kept=logits.to(batch.kept))

    def _shown(self, mine: Holdout, other: Holdout) -> tuple[TwinShownImages, ...]:
        """What the images of all attacks do to both, for each norm and eps."""
        store, cells = self.session.store, shown_cells(self.session.cells)
        chunks = mine.chunks()
        found: dict[ThreatModel, list[tuple[Mask, Mask, Mask]]] = {}
        for place, cell in enumerate(cells):
            alike, audited, twin = (mine.no_cases() for _ in range(3))
            for number, places in enumerate(chunks):
                done = (place + number / len(chunks)) / len(cells)
                self._told(0.1 + 0.4 * done, "attacked images on the deployed version")
                part = mine.batch.take(places.tolist())

                def made(cell: Cell = cell, part: Batch = part) -> TwinShown:
                    return self._show(cell, part)

                seen = store.memo(TWIN_SHOWN.of(cell.key, number), made)
                alike[places], audited[places], twin[places] = seen.alike, seen.audited, seen.twin
            found.setdefault(cell.threat, []).append((alike, audited, twin))
        return tuple(_of_one_eps(mine, threat, masks) for threat, masks in found.items())

    def _show(self, cell: Cell, part: Batch) -> TwinShown:
        session = self.session
        x_adv, outcomes = session.runner.run(cell, part, self.audit.seed)
        with torch.no_grad():
            logits = self.logits(x_adv)
        labels = [int(one.kept.argmax()) for one in outcomes]
        return TwinShown(
            alike=[a == b for a, b in zip(labels, logits.argmax(1).tolist(), strict=True)],
            audited=[one.success for one in outcomes],
            twin=session.task.success(logits, part).tolist(),
        )


def shown_cells(cells: Sequence[Cell]) -> list[Cell]:
    """The cells whose images are shown to the deployed version: all but baselines."""
    return [cell for cell in running_order(cells) if not cell.attack.traits.baseline]


def _of_one_eps(
    holdout: Holdout, threat: ThreatModel, masks: Sequence[tuple[Mask, Mask, Mask]]
) -> TwinShownImages:
    alike = np.logical_and.reduce([one[0] for one in masks])
    audited, twin = (np.logical_or.reduce([one[i] for one in masks]) for i in (1, 2))
    return TwinShownImages(
        norm=threat.norm,
        eps=None if math.isinf(threat.eps) else threat.eps,
        agreement=holdout.rate(alike),
        audited_fooled=holdout.rate(audited),
        twin_fooled=holdout.rate(twin),
        twin_alone=holdout.rate(twin & ~audited),
        audited_alone=holdout.rate(audited & ~twin),
    )


def _rate(by_group: ByGroup, values: Mask) -> Estimate:
    found = by_group.rate(values)
    assert found is not None  # there are cases
    return found
