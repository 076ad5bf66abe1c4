"""The plan of an audit: a TOML file or values, checked field by field. Loads no torch."""

from __future__ import annotations

from robust.plan.load import load_plan as load_plan
from robust.plan.load import make_plan as make_plan
from robust.plan.spec import Plan as Plan
from robust.units import parse_eps as parse_eps
