"""A plain network against one hardened by adversarial training: what got better, what worse.

Run: `python -m experiments.ma2021.hardening [--quick]` (about ten minutes on one core). Both are
the same MobileNetV2 at 112 px, fine-tuned on chest X-rays; the hardened one by PGD-AT at 1/255 with
three steps (1,500 images in 5 epochs against 2,000 in 6). Audits both with FGSM, BIM, PGD, CW and
writes `results/hardening.csv`: what `robust compare` says of the two runs, paired, with intervals.
"""

from __future__ import annotations

from experiments.ma2021.common import (
    FOUR,
    PAPER,
    Options,
    audited,
    interval,
    numbers,
    percent,
    started,
    write_table,
)
from robust.report import write_report
from robust.report.comparison.compare import compare_runs

PLAIN, HARDENED = "mobilenet-pretrained", "mobilenet-hardened"
EPS = ("0.5/255", "1/255", "2/255")
LIMIT = 100


def main(asked: Options) -> None:
    runs = []
    for model in (PLAIN, HARDENED):
        report, run = audited(
            asked,
            model,
            limit=24 if asked.quick else LIMIT,
            attacks=[{"name": PAPER[name]["name"], "label": name} for name in FOUR],
            eps=EPS,
        )
        write_report(report, run)
        runs.append(run)
    found = compare_runs(*runs)
    rows = [
        [
            *(change.condition, change.score, change.old.cases),
            *(*numbers(change.old, change.new, change.difference), change.result),
        ]
        for change in found.changes
    ]
    columns = ("condition", "score", "images", *interval("plain", "hardened", "difference"))
    write_table(asked, "hardening", (*columns, "word"), rows)
    for change in found.changes:
        if change.overall:
            print(change.condition, change.score, percent(change.difference), change.result)
    for note in found.notes:
        print(note)


if __name__ == "__main__":
    started(main, __doc__)
