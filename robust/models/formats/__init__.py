"""Model formats: one loader a file, found by library prefix, file suffix or folder content."""

from __future__ import annotations

from robust.models.formats.registry import load_file, load_folder, load_library

__all__ = ["load_file", "load_folder", "load_library"]
