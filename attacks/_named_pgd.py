"""Base of the attacks that are PGD with fixed fields: FGSM, BIM, MarginPGD."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar, final

from torch import Tensor

from attacks.contract import AttackTraits, Knowledge, Model, require_fit
from attacks.pgd import PGD
from attacks.streams import Streams
from attacks.threat import ThreatModel


class NamedPGD(ABC):
    """An attack that is PGD with certain fields. A subclass says with which, and its stream key."""

    norms: ClassVar[tuple[str, ...]]
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "gradients"

    @abstractmethod
    def as_pgd(self) -> PGD:
        """The same attack, written as PGD."""

    @property
    @abstractmethod
    def stream_key(self) -> str:
        """See `Attack.stream_key`."""

    def __post_init__(self) -> None:
        self.as_pgd()

    @final
    @property
    def passes(self) -> int:
        """Those of PGD."""
        return self.as_pgd().passes

    @final
    @property
    def traits(self) -> AttackTraits:
        """Those of PGD, which it equals."""
        pgd = self.as_pgd()
        return replace(pgd.traits, equals=pgd)

    @final
    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        require_fit(self, threat)
        return self.as_pgd()(model, x, y, threat, streams, target)
