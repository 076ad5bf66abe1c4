"""The plan of an audit: schema, gates and loading from TOML. Importing it loads no torch."""

from __future__ import annotations

from robust.plan.load import load_plan as load_plan
from robust.plan.load import make_plan as make_plan
from robust.plan.spec import Plan as Plan
from robust.units import parse_eps as parse_eps
