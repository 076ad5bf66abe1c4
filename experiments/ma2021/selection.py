"""Where few cases fall: what of a detection AUC is the attack, and what the choice of cases.

Run: `python -m experiments.ma2021.selection [--quick]` (about ten minutes on one CPU core, for the
hardened network of 64 px from `python -m experiments.models mobilenet-hardened-64`). Writes
`results/selection.csv`: for PGD at three sizes and every detector, fitted on the same attack where
it has a head, the AUC against all clean images, the selection control (clean images of the cases
that fall against those of the others, no attack) and the paired AUC (attacked images against the
clean images of the same cases).
"""

from __future__ import annotations

from experiments.ma2021.attack_table import DETECTORS
from experiments.ma2021.common import (
    PAPER,
    Options,
    audited,
    interval,
    numbers,
    percent,
    started,
    write_table,
)
from robust.units import eps_text

HARDENED = "mobilenet-hardened-64"
EPS = ("2/255", "4/255", "6/255")
LIMIT = 560


def main(asked: Options) -> None:
    report, _ = audited(
        asked,
        HARDENED,
        limit=100 if asked.quick else LIMIT,
        attacks=[PAPER["PGD"]],
        eps=EPS,
        detectors=DETECTORS,
        detection={"reference_cases": 150 if asked.quick else 1200, "adaptive": 0},
    )
    found = report.detection
    assert found is not None
    rows: list[list[object]] = []
    for one in found.detector_scores:
        shown = found.image_sets[one.image_set]
        if shown.kind != "attack" or one.fitted_on not in (None, one.image_set):
            continue
        areas = one.auc, one.selection_auc, one.paired_auc
        rows.append(
            [
                *(HARDENED, eps_text(shown.eps), found.cases, shown.cases, one.detector),
                *numbers(*areas, one.detection_rates["0.05"]),
                "explained" if one.explained_by_selection else "",
            ]
        )
        print(*rows[-1][1:5], *map(percent, areas), rows[-1][-1])
    columns = ("model", "eps", "images", "fallen", "detector")
    ends = interval("auc", "selection_auc", "paired_auc", "seen_at_5_percent")
    write_table(asked, "selection", (*columns, *ends, "by_selection"), rows)
    for flag in report.flags:
        print(f"{flag.name}: {flag.observed}")


if __name__ == "__main__":
    started(main, __doc__)
