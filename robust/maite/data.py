"""Cases as a MAITE data set and as a loader of batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robust.cases import Case, Cases
from robust.cases.case import Entry
from robust.errors import InputError

if TYPE_CHECKING:
    from maite.protocols import DatasetMetadata, DatumMetadata
    from maite.protocols import image_classification as ic

    class CaseMetadata(DatumMetadata):
        """What MAITE is told of a case."""

        group: str
        """The patient or lesion, the unit of every interval."""
        subgroups: Mapping[str, str]
        """The columns that were named for subgroups."""


Image = npt.NDArray[np.float32]
"""`(c, h, w)` in [0, 1], as displayed."""
OneHot = npt.NDArray[np.float32]
"""`(k,)`: 1 at the label, 0 elsewhere."""


class MaiteDataset:
    """A `maite.protocols.image_classification.FieldwiseDataset` of cases.

    A datum is the image as displayed, its label as a one-hot vector, and its id, group and
    subgroups. Ids and groups are those of the report: pseudonyms where a name could name a patient.
    """

    metadata: DatasetMetadata

    def __init__(self, cases: Cases, *, id: str | None = None) -> None:
        """Take the cases as they are; `id` is what MAITE's records call them.

        Without `id` the source and the split in words, which hold no path. InputError for masks.
        """
        if cases.outlines is not None:
            raise InputError(
                "the cases have masks, and MAITE has no protocol for outlines; give cases with "
                "classes"
            )
        self.cases = cases
        self.metadata = {
            "id": f"{cases.source}, split {cases.split}" if id is None else id,
            "index2label": dict(enumerate(cases.classes)),
        }

    def __len__(self) -> int:
        """Number of cases."""
        return len(self.cases)

    def __getitem__(self, index: int, /) -> tuple[Image, OneHot, CaseMetadata]:
        """Image, label and metadata; InputError where the image cannot be read."""
        return self.get_input(index), self.get_target(index), self.get_metadata(index)

    def get_input(self, index: int, /) -> Image:
        """The image alone."""
        return _image(self.cases[index])

    def get_target(self, index: int, /) -> OneHot:
        """The label alone; no image is read."""
        return _one_hot(self.cases.entries[index], len(self.cases.classes))

    def get_metadata(self, index: int, /) -> CaseMetadata:
        """The metadata alone; no image is read."""
        return _metadata(self.cases.entries[index])


class MaiteLoader:
    """A `maite.protocols.image_classification.DataLoader` of cases, which are read ahead."""

    def __init__(self, cases: Cases, batch_size: int = 64) -> None:
        """Batches of so many cases, in order; the last may be smaller. InputError."""
        if batch_size < 1:
            raise InputError(f"batch_size must be 1 or more, not {batch_size}")
        self.dataset = MaiteDataset(cases)
        self.batch_size = batch_size

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[list[Image], list[OneHot], list[CaseMetadata]]]:
        """Images, labels and metadata of each batch; InputError for one that cannot be read."""
        cases, count = self.dataset.cases, len(self.dataset.cases.classes)
        batch: list[Case] = []
        for number, case in enumerate(cases.stream(range(len(cases))), 1):
            if isinstance(case, InputError):
                raise case
            batch.append(case)
            if len(batch) == self.batch_size or number == len(cases):
                yield (
                    [_image(one) for one in batch],
                    [_one_hot(one, count) for one in batch],
                    [_metadata(one) for one in batch],
                )
                batch = []


def _image(case: Case) -> Image:
    if case.image.ndim != 3:
        raise InputError(
            f"{case.id} is a volume, and MAITE has images (channels, height, width): read it slice "
            f"by slice, volumes = 'slices' in [data]"
        )
    found: Image = case.image.numpy()
    return found


def _one_hot(one: Case | Entry, classes: int) -> OneHot:
    found: OneHot = np.zeros(classes, np.float32)
    found[one.label] = 1
    return found


def _metadata(one: Case | Entry) -> CaseMetadata:
    plain: Any = {"id": one.id, "group": one.group, "subgroups": dict(one.metadata)}
    found: CaseMetadata = plain
    return found


if TYPE_CHECKING:

    def _is_dataset(dataset: MaiteDataset) -> ic.FieldwiseDataset:
        return dataset

    def _is_loader(loader: MaiteLoader) -> ic.DataLoader:
        return loader
