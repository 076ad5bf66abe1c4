"""Audits from end to end: `audit`, `audit_plan`, `audit_findings`, and an unfinished report."""

from __future__ import annotations

from robust.plan.code import require_own_packages

require_own_packages()

from robust.auditing.api import audit as audit  # noqa: E402
from robust.auditing.api import audit_plan as audit_plan  # noqa: E402
from robust.auditing.api import merge_shards as merge_shards  # noqa: E402
from robust.auditing.api import unfinished_report as unfinished_report  # noqa: E402
from robust.auditing.findings import audit_findings as audit_findings  # noqa: E402
from robust.auditing.shards import audit_shard as audit_shard  # noqa: E402
