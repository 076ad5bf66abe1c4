"""The report as values: frozen dataclasses stored as versioned JSON; imports no torch."""

from __future__ import annotations

from robust.records.copies import CopiedImages as CopiedImages
from robust.records.copies import CopyPair as CopyPair
from robust.records.copies import SplitCopies as SplitCopies
from robust.records.copies import left_out_text as left_out_text
from robust.records.copies import named_copies as named_copies
from robust.records.detection import AdaptiveResult as AdaptiveResult
from robust.records.detection import Detection as Detection
from robust.records.detection import DetectorScore as DetectorScore
from robust.records.detection import FeatureMap as FeatureMap
from robust.records.detection import ImageSet as ImageSet
from robust.records.detection import NullControl as NullControl
from robust.records.detection import ReferenceSet as ReferenceSet
from robust.records.detection import ScoreCurves as ScoreCurves
from robust.records.estimate import Estimate as Estimate
from robust.records.flags import FLAG_TEXTS as FLAG_TEXTS
from robust.records.flags import FLAGS as FLAGS
from robust.records.flags import Flag as Flag
from robust.records.flags import FlagText as FlagText
from robust.records.from_plain import record_from as record_from
from robust.records.gallery import Exhibit as Exhibit
from robust.records.gallery import ExhibitImage as ExhibitImage
from robust.records.gallery import Visibility as Visibility
from robust.records.inputs import AppliedAcceleration as AppliedAcceleration
from robust.records.inputs import AuditedData as AuditedData
from robust.records.inputs import AuditedModel as AuditedModel
from robust.records.inputs import PassCounts as PassCounts
from robust.records.inputs import ProbeCost as ProbeCost
from robust.records.inputs import SmallerBatch as SmallerBatch
from robust.records.inputs import Timings as Timings
from robust.records.report import GALLERY as GALLERY
from robust.records.report import SCHEMA_VERSION as SCHEMA_VERSION
from robust.records.report import STAGES as STAGES
from robust.records.report import Report as Report
from robust.records.report import stages_text as stages_text
from robust.records.scenarios import Scenario as Scenario
from robust.records.scores import AccuracyCurve as AccuracyCurve
from robust.records.scores import AttackResult as AttackResult
from robust.records.scores import Difficulty as Difficulty
from robust.records.scores import Scores as Scores
from robust.records.scores import Subgroup as Subgroup
from robust.records.storage import Survival as Survival
from robust.records.workers import CellAgain as CellAgain
from robust.records.workers import ComputedAgain as ComputedAgain
from robust.records.workers import Workers as Workers
