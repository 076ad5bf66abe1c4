"""One audit from end to end: `audit` and `audit_plan`, and the report of an unfinished run."""

from __future__ import annotations

from robust.auditing.api import audit as audit
from robust.auditing.api import audit_plan as audit_plan
from robust.auditing.api import unfinished_report as unfinished_report
