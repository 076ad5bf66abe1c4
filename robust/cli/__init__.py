"""The command line; one file per command."""

from __future__ import annotations

from robust.cli.app import main as main
