"""What a run remembers beside its tables: every key of a `RunStore`, with the type of its value."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, cast

from robust.cases.case import CaseNotes
from robust.cases.duplicates.merging import MergedGroups
from robust.models.acceleration.accelerate import Acceleration
from robust.models.acceleration.memory import BatchSize
from robust.plan.machines import Shard
from robust.records import (
    CertifiedAccuracy,
    ComputedAgain,
    CorruptionResult,
    Detection,
    FormatProof,
    Scenario,
    Twin,
    Workers,
)
from robust.records.from_plain import record_from
from robust.records.inputs import AuditedTask
from robust.records.stages.probe import Probed

T = TypeVar("T")


@dataclass(frozen=True)
class Memo(Generic[T]):
    """One value that a run remembers: its key, and its type, which JSON can hold."""

    key: str
    type: type[T]
    """A plain JSON type, or a dataclass of such."""

    def of(self, *parts: object) -> Memo[T]:
        """The memo of one detector, fold or scenario: the key continued by `parts`."""
        return dataclasses.replace(self, key="|".join([self.key, *map(str, parts)]))

    def to_json(self, value: T) -> str:
        """The text that the store keeps."""
        return json.dumps(_plain(value))

    def from_json(self, text: str) -> T:
        """The value from a text of `to_json`."""
        return cast(T, record_from(self.type, json.loads(text)))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return dataclasses.asdict(cast(Any, value)) if dataclasses.is_dataclass(value) else value


@dataclass(frozen=True)
class AdaptiveFold:
    """Adaptive attacks on one detector, on the cases of one fold."""

    tries: tuple[tuple[int, float | None, str], ...]
    """The row of a case, the score of its least suspicious adversarial image (None: no image fools
    the classifier), and the attack that found it."""
    agreement: float | None
    """Rank correlation of detector and surrogate; None where no surrogate was needed."""


@dataclass(frozen=True)
class AttackFacts:
    """An attack that is no part of robust, as far as a report needs it."""

    text: str
    """With its parameters."""
    equal_to: str
    """The same of the attack that does the same to every such model; its own where there is
    none."""
    norms: tuple[str, ...]
    minimum_norm: bool
    knowledge: str
    passes: int
    stream_key: str
    baseline: bool
    steps: int
    travel: float | None
    """None where it is infinite."""
    dense: bool = False
    dense_only: bool = False


@dataclass(frozen=True)
class CasesAtOnce:
    """How many images go through the network at once."""

    by_shape: dict[str, BatchSize]
    """By the shape of an image, such as `3 x 224 x 224`."""

    def joined(self, other: CasesAtOnce) -> CasesAtOnce:
        """Every shape of both; where memory was short on one machine, its number."""
        joined = dict(self.by_shape)
        for shape, size in other.by_shape.items():
            used = min(size.used, joined.get(shape, size).used)
            joined[shape] = dataclasses.replace(size, used=used)
        return CasesAtOnce(joined)


@dataclass(frozen=True)
class ScenarioResult:
    """One finished scenario."""

    scenario: Scenario | None
    """None where there were too few cases for it."""


@dataclass(frozen=True)
class FinishedScenarios:
    """All scenarios of a plan, once the last of them is finished."""

    scenarios: tuple[Scenario, ...]


@dataclass(frozen=True)
class QueryResult:
    """The decision-based attack on some cases of the held-out split."""

    fooled: dict[str, list[bool]]
    """By query budget, which cases were fooled within it."""
    control: dict[str, list[bool]]
    """The same for random images."""
    failed: str
    """Error of the attack, or an empty text."""


@dataclass(frozen=True)
class SpatialResult:
    """Rotations and shifts of some cases of the held-out split."""

    fooled: list[bool]
    """Which cases some move of the grid fools."""
    control: list[bool]
    """Which cases a random one fools."""


@dataclass(frozen=True)
class TwinPredictions:
    """What the deployed version reads in the clean images of one chunk."""

    labels: tuple[tuple[int, int], ...]
    """Row of a case, and the label that is predicted."""


@dataclass(frozen=True)
class TwinShown:
    """One attack's images of the audited model, shown to both; one entry a case."""

    alike: list[bool]
    """Whether both predict the same label."""
    audited: list[bool]
    """Whether the image reaches the goal on the audited model."""
    twin: list[bool]
    """Whether it does so on the deployed version."""


@dataclass(frozen=True)
class TwinDirect:
    """One attack on each of both models, on some cases: which are fooled, by eps as text."""

    audited: dict[str, list[bool]]
    twin: dict[str, list[bool]]
    failed: str
    """Error of an attack, or an empty text."""


@dataclass(frozen=True)
class FinishedTwin:
    """The comparison with the deployed version."""

    twin: Twin


@dataclass(frozen=True)
class CertifiedCases:
    """What one certificate proves of some cases; one entry a case."""

    predicted: list[int]
    """Class that the certified function predicts; -1 where it abstains or failed."""
    radius: list[float]
    """Proven radius around the predicted class, right or wrong; 0 where nothing is proven."""
    failed: list[str]
    """Why the certificate broke off, or an empty text."""


@dataclass(frozen=True)
class SmoothedAttack:
    """An attack on a smoothed classifier at one eps; one entry a case."""

    distance: list[float | None]
    """L2 distance of an image that the smoothed classifier reads otherwise; None: none found."""
    failed: str = ""
    """Error of the attack, or an empty text."""


@dataclass(frozen=True)
class FinishedCertificates:
    """All certificates of a plan, once the last of them is finished."""

    certificates: tuple[CertifiedAccuracy, ...]


@dataclass(frozen=True)
class CorruptedCases:
    """Some cases under one kind of corruption at one severity; one entry a case."""

    kept: list[list[float]]
    """What the task keeps of each prediction."""
    reference: list[list[float]]
    """The same of the reference model; empty without one."""
    l2: list[float]
    """Distance from the clean image in L2."""
    linf: list[float]
    """Distance from the clean image in L-infinity."""


@dataclass(frozen=True)
class FinishedCorruptions:
    """The corruptions of a plan."""

    corruptions: CorruptionResult


@dataclass(frozen=True)
class FeatureCopies:
    """Near copies in feature space, beyond those that the images themselves show; all by row."""

    reference: tuple[tuple[int, int], ...]
    """Images of the reference, each with the evaluated case that is a near copy of it."""
    evaluated: tuple[tuple[int, int], ...]
    """Pairs of evaluated cases of two groups."""


@dataclass(frozen=True)
class CaseSet:
    """The audited cases without their index: what a report says of them."""

    source: str
    classes: tuple[str, ...]
    count: int
    findings: tuple[int, ...]
    grouped: bool
    phantom: bool
    split: str
    noun: str
    showable: bool
    notes: CaseNotes = field(default_factory=CaseNotes)
    outlines: Literal["exclusive", "overlapping"] | None = None


PROVENANCE = Memo("provenance", dict[str, dict[str, Any]])
"""Plan, model and environment, as `Provenance` has them."""
BEGAN = Memo("began", str)
"""When the run began, as `Timings.audited`."""
START = Memo("start", dict[str, Any])
"""The environment in which the run began."""
CASE_SET = Memo("cases", CaseSet)
"""The audited cases, as a report names them."""
TASK = Memo("task", AuditedTask)
"""What the model is asked, as a report names it."""
FOREIGN_ATTACKS = Memo("foreign attacks", dict[str, AttackFacts])
"""By label, of attacks that are no part of robust: a report on an unfinished run runs no code."""
MERGED_GROUPS = Memo("merged groups", MergedGroups)
"""The copies among the audited images, and the groups that they join."""
REFERENCE_COPIES = Memo("copies in the reference", list[list[int]])
"""Row of an image of the reference, row of the audited image that it is a copy of."""
FEATURE_COPIES = Memo("copies in feature space", FeatureCopies)
"""Near copies that detectors would know again."""
SURROGATE = Memo("surrogate", dict[str, Any])
"""What describes the surrogate: preprocessing, head, windows."""
SURROGATE_OUTPUTS = Memo("surrogate outputs", list[list[float]])
"""Of the surrogate on a few images `(n, outputs)`, to notice that its code has changed."""
TWIN_OUTPUTS = Memo("twin outputs", list[list[float]])
"""The same of the version that is deployed."""
TWIN_CLEAN = Memo("twin on clean images", TwinPredictions)
"""By number of the chunk."""
TWIN_SHOWN = Memo("twin on attacked images", TwinShown)
"""By cell and number of the batch of cases."""
TWIN_DIRECT = Memo("attacks on the twin", TwinDirect)
"""By attack, norm, eps and number of the batch of cases."""
TWIN = Memo("twin", FinishedTwin)
"""The whole comparison; there once it is finished."""
SHARD = Memo("shard", Shard)
"""Which part of a run the store is of; the store of a whole run does not have it."""
SHARD_ATTACKED = Memo("shard attacked", bool)
"""Whether every chunk of the shard has been attacked."""
REPAIRED = Memo("repaired", int)
"""How many chunks ran again because the run file was damaged."""
HEAD = Memo("head", str)
"""The classifier's head as it was recognised."""
ASKED = Memo("asked", dict[str, int])
"""Images that a black box has answered, by purpose, in all calls of the run together."""
FORMAT_PROOF = Memo("format proof", FormatProof)
"""That a model of a foreign format computes what its own runtime does; the surrogate's likewise."""
RANDOM = Memo("random outputs", bool)
"""Whether the network's outputs differ from pass to pass: then means of passes are predictions."""
ACCELERATION = Memo("acceleration", Acceleration)
"""How attacks run the network, as settled at the start."""
CASES_AT_ONCE = Memo("cases at once", CasesAtOnce)
"""How many cases go through the network at once."""
FEATURE_LAYOUT = Memo("layout of features", dict[str, dict[str, int]])
"""By kind (empty for the logits, `layers`, `extras`): width of each part of a row, by name."""
REFERENCE_LAYOUT = Memo("layout of reference features", dict[str, dict[str, int]])
"""As `FEATURE_LAYOUT`, for the images that detectors learn from."""
DETECTION = Memo("detection", Detection)
"""The evaluation of all detectors."""
ADAPTIVE = Memo("adaptive", AdaptiveFold)
"""By detector and fold."""
SCENARIO = Memo("scenario", ScenarioResult)
"""By name and parameter."""
SCENARIOS = Memo("scenarios", FinishedScenarios)
"""Every scenario, in the order of the report; there once all are finished."""
QUERIES = Memo("queries", QueryResult)
"""By number of the batch of cases."""
SPATIAL = Memo("spatial", SpatialResult)
"""By number of the batch of cases."""
WORKERS = Memo("workers", Workers)
"""Who attacked the cases, without what they computed again."""
AGAIN = Memo("computed again", ComputedAgain)
"""By number of the chunk: what another worker found that computed it again."""
CERTIFIED = Memo("certified", CertifiedCases)
"""By certificate and number of the batch of cases."""
SMOOTHED_ATTACK = Memo("attack on the smoothed classifier", SmoothedAttack)
"""By certificate, eps and number of the batch of cases."""
CERTIFICATES = Memo("certificates", FinishedCertificates)
"""Every certificate, in the order of the plan; there once all are finished."""
CORRUPTED = Memo("corrupted", CorruptedCases)
"""By kind, severity and number of the batch of cases; kind `none` is the clean image."""
CORRUPTIONS = Memo("corruptions", FinishedCorruptions)
"""The whole result; there once it is finished."""
CORRUPTION_REFERENCE_OUTPUTS = Memo("corruption reference outputs", list[list[float]])
"""As `SURROGATE_OUTPUTS`, of the reference model of corruptions."""
PROBE = Memo("probe", Probed)
"""Results of the probe of the model."""
