"""Cases from what people hold in Python: `cases_from` tensors, arrays, data loaders and lists."""

from __future__ import annotations

from robust.cases.in_memory.gather import cases_from as cases_from
