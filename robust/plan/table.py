"""`PlanTable`: the base of every table of a plan."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PlanTable(BaseModel):
    """A table of a TOML file: frozen; an unknown entry is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
