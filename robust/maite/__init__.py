"""Adapters to MAITE, the protocols of JATIC's test tools: model, data, attacks, a metric.

They have the form that `maite.protocols.image_classification` asks for, and need no maite to be
imported: whoever calls them has it.
"""

from __future__ import annotations

from robust.maite.accuracy import MaiteAccuracy as MaiteAccuracy
from robust.maite.attack import MaiteAttack as MaiteAttack
from robust.maite.data import MaiteDataset as MaiteDataset
from robust.maite.data import MaiteLoader as MaiteLoader
from robust.maite.model import MaiteModel as MaiteModel
