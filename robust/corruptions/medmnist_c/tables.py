"""Severities of MedMNIST-C for each data set, as its package 0.1.0 defines them (2406.17536)."""

from __future__ import annotations

from collections.abc import Mapping

SEVERITY_TABLES: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "pathmnist": {
        "brightness_up": (1.1, 1.15, 1.2, 1.22, 1.25),
        "brightness_down": (0.85, 0.80, 0.75, 0.72, 0.70),
    },
    "bloodmnist": {
        "brightness_up": (1.1, 1.2, 1.3, 1.35, 1.4),
        "brightness_down": (0.9, 0.8, 0.7, 0.6, 0.5),
    },
    "dermamnist": {
        "brightness_up": (1.1, 1.2, 1.3, 1.4, 1.5),
        "brightness_down": (0.9, 0.8, 0.7, 0.6, 0.5),
    },
    "retinamnist": {"brightness_down": (0.9, 0.8, 0.7, 0.6, 0.5)},
    "tissuemnist": {
        "brightness_up": (1.3, 1.4, 1.5, 1.6, 1.7),
        "brightness_down": (0.8, 0.7, 0.6, 0.5, 0.4),
    },
    "octmnist": {},
    "breastmnist": {
        "brightness_up": (1.4, 1.5, 1.6, 1.8, 2.0),
        "brightness_down": (0.55, 0.5, 0.45, 0.4, 0.3),
    },
    "chestmnist": {
        "brightness_up": (1.1, 1.2, 1.3, 1.4, 1.5),
        "brightness_down": (0.9, 0.8, 0.7, 0.6, 0.5),
    },
    "pneumoniamnist": {
        "brightness_up": (1.1, 1.2, 1.3, 1.4, 1.5),
        "brightness_down": (0.9, 0.8, 0.7, 0.6, 0.5),
    },
    "organamnist": {
        "brightness_up": (1.2, 1.3, 1.4, 1.5, 1.6),
        "brightness_down": (0.8, 0.75, 0.7, 0.65, 0.60),
    },
    "organcmnist": {
        "brightness_up": (1.2, 1.3, 1.4, 1.5, 1.6),
        "brightness_down": (0.8, 0.75, 0.7, 0.65, 0.60),
    },
    "organsmnist": {
        "brightness_up": (1.2, 1.3, 1.4, 1.5, 1.6),
        "brightness_down": (0.8, 0.75, 0.7, 0.65, 0.60),
    },
}
"""Parameters of severities 1 to 5, by data set and kind."""

NOTES: Mapping[tuple[str, str], str] = {}
"""What a reader must know of a kind of a data set."""
