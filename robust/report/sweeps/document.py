"""The document on a sweep: a lead, and what sets its models apart."""

from __future__ import annotations

import importlib.metadata

from robust.records import FLAG_TEXTS, Flag, LearningCurve, SweepReport
from robust.report.layout.blocks import (
    Block,
    Document,
    DocumentSection,
    FactsBlock,
    FiguresBlock,
    FoldedBlock,
    TablesBlock,
    TextBlock,
)
from robust.report.layout.document import with_content
from robust.report.layout.sections import make_glossary
from robust.report.sweeps.content import NumberKey, SweepContent, number_key
from robust.report.sweeps.differences import JudgedDifference, judged_differences
from robust.report.sweeps.figures import curve_figures, panel_figures, spread_figure
from robust.report.sweeps.sentences import (
    curve_sentences,
    holm_sentence,
    spread_sentence,
    sweep_lead,
)
from robust.report.sweeps.tables import (
    differences_table,
    fits_table,
    groups_table,
    members_table,
    missing_table,
    points_table,
    spread_table,
    sweep_warnings_table,
    wanted_table,
)
from robust.report.tables.model import Table
from robust.report.text.format import counted, listed, plain
from robust.report.text.glossary import SWEEP_TERMS, TERMS

DIFFERENCES = (
    "Each difference is the number with the first model or level less that with the second, on the "
    "same test images, with its paired 95 % interval. Higher or lower: the whole interval lies on "
    "one side of 0. No verdict: a warning on a model voids the difference, so that a gain may be "
    "masked gradients. The interval is for one difference alone; the last column says whether its "
    "result remains when all differences of this page are looked at together (Holm 1979, 5 % for "
    "all of them)."
)
SPREAD = (
    "What varies between models that should be alike: seeds, folds, training images, machines. The "
    "standard deviation is in points of a percentage where the number is one. Few levels say "
    "little about a variance: with fewer than five there is no interval."
)
PANELS_NOTE = "Intervals of means allow for other draws of the random axes and for other patients."
MOST_TABLE_ROWS = 60
"""Differences of a table that is not folded."""


def sweep_document(report: SweepReport) -> Document:
    """The whole page: lead, models, panels, differences, spread, curves, warnings, terms."""
    content = SweepContent(report)
    judged = judged_differences(content)
    models = counted(len(report.members), "model")
    axes = counted(len(report.axes), "axis", "axes")
    sections = (
        DocumentSection("models", "Models", _model_blocks(content)),
        DocumentSection("panels", "Robust accuracy against eps", _panel_blocks(content)),
        DocumentSection("detectors", "Detectors", _detector_blocks(content)),
        DocumentSection("differences", "Paired differences", _difference_blocks(content, judged)),
        DocumentSection("spread", "Where the spread comes from", _spread_blocks(content)),
        DocumentSection("data", "How many training images", _curve_blocks(report.curves)),
        DocumentSection("warnings", "Warnings by model", _warning_blocks(content)),
        DocumentSection("missing", "Failed or not finished", _missing_blocks(content)),
        DocumentSection("repeat", "How to repeat it", (FactsBlock(_repeat(report)),)),
        DocumentSection("glossary", "Glossary", (_glossary(content, judged),)),
    )
    return Document(
        plain(report.title),
        f"Sweep · {models} · {axes}" if report.axes else f"Comparison · {models}",
        sweep_lead(content, judged),
        _facts(report),
        with_content(sections),
        _flags(content),
        {**TERMS, **SWEEP_TERMS},
    )


def _facts(report: SweepReport) -> tuple[tuple[str, tuple[str, ...]], ...]:
    axes = tuple(
        f"{plain(axis.name)}: {listed([plain(level) for level in axis.levels], 12)}"
        + (" (random draws)" if axis.kind == "random" else "")
        for axis in report.axes
    )
    notes = tuple(plain(note) for note in report.notes)
    facts = (("What was varied", axes), ("Remarks", notes))
    return tuple((name, texts) for name, texts in facts if texts)


def _model_blocks(content: SweepContent) -> tuple[Block, ...]:
    title = "Every single model"
    blocks = _tables(content, content.model_keys, "sweep-models", "Models", title)
    if not content.other_keys or not content.finished:
        return blocks
    more = counted(len(content.other_keys), "more number")
    return (*blocks, _note(f"sweep.csv and sweep.json have {more} of each model."))


def _tables(
    content: SweepContent, keys: tuple[NumberKey, ...], name: str, title: str, single: str
) -> tuple[Block, ...]:
    """Means by fixed levels, then every model, folded; every model alone where there are none."""
    if not content.averaged:
        table = members_table(content, keys, name, title)
        return (TablesBlock((table,)), *_table_note(table))
    table = groups_table(content, keys, name, title)
    every = members_table(content, keys, f"{name}-single", single)
    folded = FoldedBlock((every,), every, single) if every.rows else TextBlock(())
    return (TablesBlock((table,)), *_table_note(table), folded)


def _panel_blocks(content: SweepContent) -> tuple[Block, ...]:
    figures = tuple(panel_figures(content))
    note = (_note(PANELS_NOTE),) if figures and content.averaged else ()
    return (FiguresBlock(figures), *note)


def _detector_blocks(content: SweepContent) -> tuple[Block, ...]:
    if not content.detector_keys:
        return ()
    title = "Detectors of every single model"
    return _tables(content, content.detector_keys, "sweep-detectors", "Detectors", title)


def _difference_blocks(
    content: SweepContent, judged: tuple[JudgedDifference, ...]
) -> tuple[Block, ...]:
    if not judged:
        return ()
    shown = {*content.model_keys, *content.detector_keys}
    main = [one for one in judged if one.key in shown][:MOST_TABLE_ROWS] or judged[:MOST_TABLE_ROWS]
    kept = {id(one) for one in main}
    rest = [one for one in judged if id(one) not in kept]
    table = differences_table(main, "sweep-differences", "Paired differences")
    blocks: tuple[Block, ...] = (
        TextBlock((holm_sentence(judged),)),
        TablesBlock((table,)),
        _note(DIFFERENCES),
        *_table_note(table),
    )
    if not rest:
        return blocks
    title = f"{counted(len(rest), 'more difference')}"
    more = differences_table(rest, "sweep-differences-more", title)
    return (*blocks, FoldedBlock((more,), more, title))


def _spread_blocks(content: SweepContent) -> tuple[Block, ...]:
    spreads = tuple(spread for spread in content.report.spread if spread.components)
    if not spreads:
        return ()
    shown = {*content.model_keys, *content.detector_keys}
    main = tuple(s for s in spreads if number_key(s.measure, s.condition) in shown) or spreads
    figure = spread_figure(main)
    table = spread_table(spreads)
    remarks = dict.fromkeys(plain(note) for spread in spreads for note in spread.notes)
    methods = dict.fromkeys(plain(spread.method).rstrip(".") for spread in spreads if spread.method)
    method = f"Computed by: {'; '.join(methods)}." if methods else ""
    note = " ".join(text for text in (SPREAD, method, *remarks, table.whole_note) if text)
    return (
        TextBlock(tuple(spread_sentence(spread) for spread in main[:4])),
        FiguresBlock((figure,) if figure else ()),
        TablesBlock((table,)),
        _note(note),
    )


def _curve_blocks(curves: tuple[LearningCurve, ...]) -> tuple[Block, ...]:
    if not curves:
        return ()
    fits, wanted, points = fits_table(curves), wanted_table(curves), points_table(curves)
    law = (
        "The power law is 1 - measure = a + b n^-c with n training images (after Cho et al. 2015): "
        "a is what no number of images removes, c says how fast more images help. Intervals also "
        "allow for a plateau at few images, except that of c, which is for power laws alone. "
        "Beyond the largest n that was trained it is an extrapolation."
    )
    return (
        TextBlock(curve_sentences(curves)),
        FiguresBlock(tuple(curve_figures(curves))),
        TablesBlock((wanted,)),
        *_table_note(wanted),
        TablesBlock((fits,)),
        _note(f"{law} {fits.whole_note}".strip()),
        FoldedBlock((points,), points, points.title),
    )


def _warning_blocks(content: SweepContent) -> tuple[Block, ...]:
    table = sweep_warnings_table(content.finished)
    if not table.rows:
        return ()
    return (
        TablesBlock((table,)),
        _note("The report of each model says what was observed: the names of models lead to them."),
    )


def _missing_blocks(content: SweepContent) -> tuple[Block, ...]:
    return (TablesBlock((missing_table(content.missing),)),) if content.missing else ()


def _repeat(report: SweepReport) -> tuple[tuple[str, str], ...]:
    trained = any(member.training for member in report.members)
    facts = [
        (
            "Command",
            "robust compare RUN RUN ... --out FOLDER"
            if report.is_comparison
            else "robust sweep sweep.toml --out FOLDER",
        ),
        ("Version", f"robust {importlib.metadata.version('robust-audit')}"),
        ("Numbers", "sweep.json has everything on this page, sweep.csv every number in long form"),
    ]
    if trained:
        facts.append(("Models", "the folder of each model holds its recipe, its weights, its card"))
    where = "the report of each model has its plan, versions, hashes and the command for it"
    return (*facts, ("Audits", where))


def _glossary(content: SweepContent, judged: tuple[JudgedDifference, ...]) -> Block:
    names = ["eps", "norm", "clean", "accuracy", "robust-accuracy", "auc", "worst-case"]
    names += ["interval", "group", *(["detector", "detector-auc"] if content.detector_keys else [])]
    names += ["member", *(["random-axis"] if content.random else [])]
    names += ["paired-difference", "holm"] if judged else []
    report = content.report
    names += ["variance-share", "standard-deviation"] if report.spread else []
    names += ["learning-curve", "misfit", "wanted-images"] if report.curves else []
    terms = {**TERMS, **SWEEP_TERMS}
    return make_glossary({name: terms[name] for name in names})


def _flags(content: SweepContent) -> tuple[Flag, ...]:
    """Each warning that a model has, once, in the order of the models."""
    names = dict.fromkeys(name for member in content.finished for name in member.flags)
    return tuple(
        FLAG_TEXTS[name].flag("") if name in FLAG_TEXTS else Flag(name, "", "", "")
        for name in names
    )


def _table_note(table: Table) -> tuple[Block, ...]:
    return (_note(table.whole_note),) if table.rows and table.whole_note else ()


def _note(text: str) -> TextBlock:
    return TextBlock((text,), note=True)
