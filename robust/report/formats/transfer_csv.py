"""CSV: the whole transfer matrix, a line for each detector, attack fitted on and images tested."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Mapping

from robust.printable import as_cell
from robust.records import Detection, DetectorScore, Estimate, ImageSet

FILE = "transfer_matrix.csv"
_PLACES = ("detector", "fitted_on", "image_set")
_HEAD = ("detector", "fitted_on", "fitted_norm", "fitted_eps", "kind", "tested_on", "norm", "eps")


def transfer_csv(detection: Detection) -> str:
    """The text of the file: every field of `DetectorScore`, an estimate with both ends.

    `fitted_on` is empty for a detector that is not fitted on attacks; `eps` has nine digits, in
    [0, 1] units; there is no text that a spreadsheet would take for a formula.
    """
    lines = [_line(detection, score) for score in detection.detector_scores]
    names = list(dict.fromkeys(name for line in lines for name in line)) or list(_HEAD)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([as_cell(line.get(name)) for name in names] for line in lines)
    return text.getvalue()


def _line(detection: Detection, score: DetectorScore) -> dict[str, object]:
    sets = detection.image_sets
    fitted = None if score.fitted_on is None else sets[score.fitted_on]
    tested = sets[score.image_set]
    places = (score.detector, *_named(fitted), tested.kind, *_named(tested))
    line: dict[str, object] = dict(zip(_HEAD, places, strict=True))
    for field in dataclasses.fields(score):
        if field.name not in _PLACES:
            line.update(_columns(field.name, getattr(score, field.name)))
    return line


def _named(images: ImageSet | None) -> tuple[object, object, object]:
    return ("", "", None) if images is None else (images.name, images.norm, images.eps)


def _columns(name: str, value: object) -> Iterator[tuple[str, object]]:
    """A value by the name of its column; an estimate and a mapping have several."""
    if isinstance(value, Estimate):
        yield name, value.value
        yield f"{name}_low", value.low
        yield f"{name}_high", value.high
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _columns(f"{name}_{key}", one)
    else:
        yield name, value
