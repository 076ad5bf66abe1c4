"""Speed of attacks against other libraries."""

from robust.plan.code import require_own_packages

require_own_packages()
