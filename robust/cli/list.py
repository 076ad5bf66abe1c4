"""`robust list`: attacks, detectors, certificates, corruptions, models, formats, templates."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from robust.cli.output import make_console
from robust.cli.process.manners import emit
from robust.errors import InputError, did_you_mean

EXAMPLE = "Example: robust list models --filter 'resnet*'"
Row = tuple[str, ...]
"""Cells of one row."""


@dataclass(frozen=True)
class Listing:
    """A table of names."""

    columns: Row
    rows: list[Row]
    ideas: list[str] = field(default_factory=list)
    """What stands below each row; empty where nothing does."""
    note: str = ""

    def shown(self) -> RenderableType:
        """For a terminal."""
        if self.ideas:
            return _entries(self.columns, list(zip(self.rows, self.ideas, strict=True)))
        table = _table(*self.columns)
        for row in self.rows:
            table.add_row(*row)
        return Group(table, Text(f"\n{self.note}")) if self.note else table

    def plain(self) -> list[dict[str, str]]:
        """For a program: an object for each row, with the idea where there is one.

        An empty first cell, which on a terminal means `as above`, is filled in.
        """
        filled: list[dict[str, str]] = []
        for row in self.rows:
            first = row[0] or (filled[-1][self.columns[0]] if filled else "")
            filled.append(dict(zip(self.columns, (first, *row[1:]), strict=True)))
        for one, idea in zip(filled, self.ideas, strict=False):
            one["idea"] = idea
        return filled


def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="attacks, detectors, certificates, corruptions, models, formats, data, layouts or "
            "templates.",
            autocompletion=lambda: list(LISTS),
        ),
    ],
    filter: Annotated[str, typer.Option(help="Shell pattern for the names of models.")] = "*",
) -> None:
    """List attacks, detectors, certificates, corruptions, models, formats, data or templates."""
    if what not in LISTS:
        raise InputError(f"cannot list {what!r}; {did_you_mean(what, LISTS)}")
    listing = LISTS[what](filter)
    emit(listing.plain)
    make_console().print(listing.shown())


def _table(*columns: str) -> Table:
    """Names in the first column are never broken."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place == 0)
    return table


def _entries(head: Row, entries: Sequence[tuple[Row, str]]) -> Group:
    """Aligned columns, and below each row its idea and paper, indented: both fit 80 columns."""
    rows = [head, *(row for row, _ in entries)]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    shown: list[RenderableType] = [Text(lines[0], "bold")]
    for line, (_, idea) in zip(lines[1:], entries, strict=True):
        shown += [Text(line), Padding.indent(Text(idea, "dim"), 4)]
    return Group(*shown)


def _listing(columns: Row, entries: Sequence[tuple[Row, str]]) -> Listing:
    return Listing(columns, [row for row, _ in entries], [idea for _, idea in entries])


def _idea(kind: type[object]) -> str:
    """Idea and paper: the first line of the module, without its full stop."""
    return (sys.modules[kind.__module__].__doc__ or "").splitlines()[0].removesuffix(".")


def attacks(pattern: str) -> Listing:
    """Every attack with its norms, what it needs to know of the model, its cost and its paper.

    And whether it works on outlines: beside classes, alone, or (nothing said) not at all.
    """
    from attacks import ATTACKS

    head = ("attack", "norms", "finds", "needs", "passes")
    entries = []
    for name, kind in ATTACKS.items():
        attack = kind()
        finds = "nearest" if attack.minimum_norm else "within eps"
        needs = attack.knowledge.replace(" and ", ", ")
        needs += ", detector" if kind.__module__.startswith("attacks.adaptive.") else ""
        short = [norm for norm in attack.norms if norm in ("Linf", "L2")] or attack.norms
        row = (name, ", ".join(short), finds, needs, str(attack.passes))
        traits = attack.traits
        outlines = "outlines alone" if traits.dense_only else "also outlines" * traits.dense
        words = [outlines, *(norm for norm in attack.norms if norm not in short)]
        entries.append((row, "; ".join([_idea(kind), ", ".join(filter(None, words))]).rstrip("; ")))
    foolbox = ("foolbox:NAME", "Linf, L2", "either", "depends", "")
    own = ("MODULE:CLASS", "", "", "", "")
    return _listing(
        head,
        [
            *entries,
            (foolbox, "Any attack of foolbox, if it is installed"),
            (own, "An attack of your own, such as mine:MyAttack of mine.py"),
        ],
    )


def detectors(pattern: str) -> Listing:
    """Every detector with what it learns from, what it needs, and its paper."""
    from detectors import DETECTORS

    entries = []
    for name, kind in DETECTORS.items():
        learns = "clean, attacked" if kind.has_head else "nothing"
        needs = ["an attack"] if kind.needs_head else []
        needs += ["dropout"] if kind.needs_dropout else []
        gradient = "yes" if kind.differentiable else "no"
        entries.append(((name, learns, ", ".join(needs), gradient), _idea(kind)))
    own = ("MODULE:CLASS", "", "", "")
    entries.append((own, "A detector of your own, such as mine:MyDetector of mine.py"))
    return _listing(("detector", "learns from", "needs", "gradient"), entries)


def certificates(pattern: str) -> Listing:
    """Every certificate with its norm, what it is about, how sure it is, its cost and its paper."""
    from robust.certificates.registry import CERTIFICATES

    entries = []
    for name, kind in CERTIFICATES.items():
        one = kind()
        about = "smoothed" if one.function == "smoothed" else "the model"
        sure = "certain" if one.alpha is None else f"{100 * (1 - one.alpha):g} % a case"
        entries.append(((name, one.norm, about, sure, str(one.passes)), _idea(kind)))
    return _listing(("certificate", "norm", "about", "sure", "passes"), entries)


def corruptions(pattern: str) -> Listing:
    """Every corruption of every modality, with who defines its severities."""
    from robust.corruptions.contract import SEVERITIES
    from robust.corruptions.registry import MODALITIES, corruptions_of

    rows: list[Row] = []
    span = f"{SEVERITIES[0]}-{SEVERITIES[-1]}"
    for modality in MODALITIES:
        shown = modality
        for one in corruptions_of(modality):
            rows.append((shown, one.name, one.family, span, one.definition))
            shown = ""
    return Listing(("modality", "corruption", "family", "severities", "defined by"), rows)


def models(pattern: str) -> Listing:
    """Architectures whose names match a shell pattern."""
    from robust.plan.architecture_names import architecture_names

    found = architecture_names(pattern)
    if not any(found.values()):
        raise InputError(f"no architecture matches {pattern!r}; try a pattern such as 'resnet*'")
    rows: list[Row] = [(library, name) for library, names in found.items() for name in names]
    rows += OTHER_LIBRARIES if pattern == "*" else ()
    return Listing(("library", "architecture"), rows)


def formats(pattern: str) -> Listing:
    """The forms in which a model may be given, by field of `[model]`, with the extra each needs."""
    note = "An extra is installed with pip install 'robust-audit[EXTRA]'."
    columns = ("field", "what is read", "extra", "runs code")
    return Listing(columns, list(MODEL_FORMATS), note=note)


def data(pattern: str) -> Listing:
    """The forms that `path` in `[data]` may take."""
    from robust.plan.paths import MODALITIES, OUTLINES

    rows: list[Row] = [
        (
            "FOLDER with cases.csv",
            "images, DICOM and NIfTI; columns file, label (or mask), group, split, metadata",
            "a column",
        ),
        (
            "FOLDER, table = TABLE",
            "images below it, labels as published: CSV, TSV, XLSX; columns named in [data]",
            "a column or group_pattern",
        ),
        (
            "FOLDER/CLASS/*.png",
            "one subfolder per class, perhaps inside train, val and test",
            "group_pattern",
        ),
        ("FILE.npz", "an official MedMNIST file", 'group = "none"'),
        *(
            (f"phantom:{one}", "synthetic images, drawn by a program", "built in")
            for one in MODALITIES
        ),
        *((f"phantom:{one}", "synthetic images with masks", "built in") for one in OUTLINES),
    ]
    return Listing(("path", "what is read", "groups"), rows)


def layouts(pattern: str) -> Listing:
    """Layouts of public data sets, for `robust init --layout`."""
    from robust.drafting.layouts import LAYOUTS, read_layout

    rows: list[Row] = []
    for layout in map(read_layout, LAYOUTS):
        files = [names[0] for names in layout.files.values()]
        rows.append((layout.key, layout.name, ", ".join(files) or "none"))
    return Listing(("layout", "data set", "tables"), rows)


def templates(pattern: str) -> Listing:
    """Templates of `robust report`, with the text that each is about and when it was looked at."""
    from robust.report.crosswalk.texts import CROSSWALKS, read_crosswalk

    rows: list[Row] = [
        ("standard", "results first, method and versions last", ""),
        ("regulatory", "the order of a technical file", ""),
    ]
    texts = [read_crosswalk(name) for name in CROSSWALKS]
    rows += [(text.name, text.title, text.looked_at.isoformat()) for text in texts]
    return Listing(("template", "what it shows", "text looked at on"), rows)


MODEL_FORMATS: tuple[Row, ...] = (
    ("architecture", "a name of timm or torchvision, with weights or pretrained", "", "no"),
    ("", "timm:hf-hub:OWNER/NAME", "", "no"),
    ("", "hf:OWNER/NAME", "huggingface", "no"),
    ("", "open_clip:NAME, with prompts", "open-clip", "no"),
    ("", "torchxrayvision:NAME", "torchxrayvision", "no"),
    ("", "monai:NAME", "monai", "no"),
    ("weights", ".safetensors, .pth, .pt, .ckpt, .bin: of any trainer", "", "no"),
    ("file", ".onnx: ONNX", "onnx", "no"),
    ("", ".keras, .h5, .hdf5: Keras 3 and 2", "keras", "no"),
    ("", ".tflite: TFLite, without gradients", "tflite", "no"),
    ("", ".pt2: exported program of torch", "", "can"),
    ("", ".pt: TorchScript (deprecated: export a .pt2)", "", "can"),
    ("folder", "of robust train", "", "no"),
    ("", "of transformers", "huggingface", "no"),
    ("", "of timm", "", "no"),
    ("", "of open_clip, with prompts", "open-clip", "no"),
    ("", "a MONAI bundle of a 2-D classifier", "monai", "if allowed"),
    ("factory", "package.module:function", "", "yes"),
    ("endpoint", "http://HOST:PORT/v2/models/NAME/infer", "endpoint", "no"),
    ("refused", "TensorFlow checkpoints, .pb, SavedModels: make ONNX of them", "", ""),
    ("", "Core ML, TensorRT, PaddlePaddle, Flax: each with its remedy", "", ""),
)
"""Field of `[model]` (empty: as above), what it takes, the extra, and whether code of the maker
runs."""
OTHER_LIBRARIES = (
    ("robust", "robust:gist: Gabor energies and moments of colour, with a head that is trained"),
    ("hf", "hf:OWNER/NAME: an image classifier on the Hugging Face hub"),
    ("timm", "timm:hf-hub:OWNER/NAME: a network of timm on the Hugging Face hub"),
    ("open_clip", "open_clip:ViT-B-32 or open_clip:ViT-B-32/TAG: zero-shot, with prompts"),
    ("torchxrayvision", "torchxrayvision:densenet121-res224-all and its others: chest X-rays"),
    ("monai", "monai:DenseNet121, resnet18, SEResNet50, efficientnet-b0, ViT and others"),
)
"""Names that take a prefix, and their forms."""
LISTS: dict[str, Callable[[str], Listing]] = {
    "attacks": attacks,
    "detectors": detectors,
    "certificates": certificates,
    "corruptions": corruptions,
    "models": models,
    "formats": formats,
    "data": data,
    "layouts": layouts,
    "templates": templates,
}
