"""An attack as a MAITE augmentation: images of a batch to adversarial ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from attacks import Attack, ThreatModel
from attacks.contract import require_fit
from robust.cases import Case
from robust.engine.batch import places_by_shape
from robust.engine.cells import make_attacks
from robust.engine.verified_attack import AttackSetup, attack_batch
from robust.errors import InputError
from robust.maite.model import MaiteModel
from robust.models import full_precision
from robust.plan.spec import AttackSpec
from robust.tasks.classification import Classification
from robust.tasks.contract import Batch
from robust.units import check_eps, eps_text, parse_eps

if TYPE_CHECKING:
    from maite.protocols import AugmentationMetadata, DatumMetadata
    from maite.protocols import image_classification as ic

    class AttackedMetadata(DatumMetadata):
        """What MAITE is told of a case after an attack, beside what it knew before."""

        attacked: bool
        """False where the case was misread without attack: its image is then the clean one."""
        success: bool
        """Whether the image within eps is misread, as the model itself reads it."""
        distance: float | None
        """How far the image was moved in the attack's norm; None where it was not attacked."""


class MaiteAttack:
    """A `maite.protocols.image_classification.Augmentation` that attacks the images of a batch.

    It does what an audit does with the goal `error`: cases that the model reads correctly are
    attacked, others stay as they are; size and prediction are computed again; random numbers come
    from the seed, the id of the case, the attack and eps, so that the batch size changes no image.
    What a metric says of its images is an upper bound: another attack may find more.
    """

    metadata: AugmentationMetadata

    def __init__(
        self,
        model: MaiteModel,
        attack: str | Attack,
        eps: str | float | None = None,
        *,
        norm: str = "Linf",
        seed: int = 0,
        **fields: Any,
    ) -> None:
        """Attack `model`; `attack` is a name, with its `fields`, or an instance.

        `eps` is a number or text such as "1/255", in units of the displayed image; None for a
        minimum-norm attack. InputError for what does not fit together.
        """
        if isinstance(attack, str):
            (attack,) = make_attacks([AttackSpec(name=attack, **fields)])
        elif fields:
            raise InputError(f"{', '.join(fields)}: an attack that is made has its fields already")
        try:
            size = math.inf if eps is None else parse_eps(eps)
            check_eps(size, norm)
            self.threat = ThreatModel(norm, size)
            require_fit(attack, self.threat, dense=False)
        except ValueError as error:
            raise InputError(str(error)) from None
        self.model, self.attack, self.seed = model, attack, seed
        name = type(attack).__name__
        size_text = "no bound" if eps is None else f"eps {eps_text(size, norm)}"
        self.metadata = {"id": f"{name}, {norm}, {size_text}"}

    def __call__(
        self,
        batch: tuple[Sequence[npt.ArrayLike], Sequence[npt.ArrayLike], Sequence[DatumMetadata]],
        /,
    ) -> tuple[list[npt.NDArray[np.float32]], list[npt.ArrayLike], list[AttackedMetadata]]:
        """The batch with adversarial images, the same labels, and metadata that say what happened.

        InputError where the attack fails on a case: it must not count as one that withstood.
        """
        inputs, targets, metadata = batch
        images = self.model.images(inputs)
        labels = [int(np.asarray(target).argmax()) for target in targets]
        found: list[npt.NDArray[np.float32]] = [one.float().cpu().numpy() for one in images]
        told: list[Any] = [
            {**one, "attacked": False, "success": False, "distance": None} for one in metadata
        ]
        with full_precision():
            for places in places_by_shape(images):
                self._attack(places, images, labels, found, told)
        return found, list(targets), told

    def _attack(
        self,
        places: Sequence[int],
        images: Sequence[Tensor],
        labels: Sequence[int],
        found: list[npt.NDArray[np.float32]],
        told: list[Any],
    ) -> None:
        """Attack the cases at these places, of one shape, that are read correctly."""
        classifier = self.model.classifier
        with torch.no_grad():
            logits = classifier(torch.stack([images[place] for place in places]))
        right = (logits.argmax(1).cpu().numpy() == [labels[place] for place in places]).tolist()
        kept = [i for i, good in enumerate(right) if good]
        if not kept:
            return
        places = [places[i] for i in kept]
        x = torch.stack([images[place] for place in places])
        y = torch.tensor([labels[place] for place in places], device=x.device)
        # An id that is a number is that number as text: of either the stream is the same.
        cases = tuple(
            Case(str(told[place]["id"]), labels[place], "", images[place]) for place in places
        )
        classes = self.model.classes or tuple(map(str, range(logits.shape[1])))
        setup = AttackSetup(
            self.attack,
            self.attack.stream_key,
            self.threat,
            Classification("error", (), classes=classes),
            self.seed,
            keeps_still=self.attack.traits.keeps_still,
        )
        rows = tuple(range(len(places)))
        x_adv, outcomes = attack_batch(
            classifier, setup, Batch(rows, cases, x, y, logits[kept].double())
        )
        for place, image, outcome in zip(places, x_adv, outcomes, strict=True):
            if outcome.failure is not None:
                raise InputError(
                    f"{self.metadata['id']} failed on case {told[place]['id']}: {outcome.failure}"
                )
            found[place] = image.float().cpu().numpy()
            told[place] |= {
                "attacked": True,
                "success": outcome.success,
                "distance": outcome.distance(self.threat.norm),
            }


if TYPE_CHECKING:

    def _is_augmentation(attack: MaiteAttack) -> ic.Augmentation:
        return attack
