"""HTML: the report as one file that loads nothing, with style, script, figures and images."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup, escape

from robust.records import Report
from robust.records.flags import OWN_WORDS
from robust.report.layout.blocks import (
    CodeBlock,
    Document,
    DocumentSection,
    FactsBlock,
    FiguresBlock,
    FoldedBlock,
    GalleryBlock,
    GlossaryBlock,
    Order,
    TablesBlock,
    TextBlock,
    WarningsBlock,
)
from robust.report.layout.document import make_document
from robust.report.layout.standard import standard
from robust.report.tables.verdicts import verdict_table
from robust.report.text.format import plain
from robust.report.text.headline import headline
from robust.units import printed_threat

_NO_PICTURES: Mapping[str, bytes] = {}
_BLOCKS = {
    "text": TextBlock,
    "tables": TablesBlock,
    "folded": FoldedBlock,
    "figures": FiguresBlock,
    "warnings": WarningsBlock,
    "facts": FactsBlock,
    "gallery": GalleryBlock,
    "code": CodeBlock,
    "glossary": GlossaryBlock,
}
"""Each kind of block by the name of its test in the templates."""
_KEPT_TOGETHER = re.compile(r"(?<=\d) (?=[%[])|(?<=\d,) (?=[\d.]+\])")
"""Blanks between a number and its percent sign or interval, and within an interval."""
_CODE = re.compile(r"`([^`]+)`")


def render_html(
    report: Report,
    order: Order = standard,
    pictures: Mapping[str, bytes] = _NO_PICTURES,
    *,
    phone: bool = True,
) -> str:
    """The page as text; every name is escaped, and only the page's own script runs.

    `pictures` are the PNG files of the gallery by name; if one is missing there is no gallery.
    `phone`: whether each figure is there for a narrow screen as well, which paper never shows.
    """
    return render_page(make_document(report, order), pictures, phone=phone)


def render_summary(report: Report) -> str:
    """The lead, the verdicts and the warnings as a part of a page, with a style of its own.

    For a cell of a notebook: it loads nothing, has no script, and every name is escaped.
    """
    return (
        _environment()
        .get_template("summary.html.j2")
        .render(
            title=plain(report.title),
            lead=headline(report),
            table=verdict_table(report),
            flags=report.flags,
        )
    )


def render_page(
    document: Document, pictures: Mapping[str, bytes] = _NO_PICTURES, *, phone: bool = True
) -> str:
    """The page of any document, as `render_html`."""
    script = _read("page.js")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            document=document,
            sections=_with_pictures(document.sections, pictures),
            terms=document.terms,
            style=Markup(_read("page.css")),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            pictures={name: _data_address(png) for name, png in pictures.items()},
            phone=phone,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    """The templates, compiled once."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("robust.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    for name, kind in _BLOCKS.items():
        environment.tests[name] = _is_a(kind)
    environment.filters["plain"] = plain
    environment.filters["unbroken"] = _unbroken
    environment.filters["advice"] = _advice
    environment.globals["threat"] = lambda eps, norm: printed_threat(norm, eps)
    return environment


def _is_a(kind: type) -> Callable[[object], bool]:
    return lambda block: isinstance(block, kind)


def _with_pictures(
    sections: tuple[DocumentSection, ...], pictures: Mapping[str, bytes]
) -> list[DocumentSection]:
    """The sections without galleries whose pictures are missing, and without empty sections."""
    found = []
    for section in sections:
        blocks = tuple(
            block
            for block in section.blocks
            if not isinstance(block, GalleryBlock) or set(_picture_names(block)) <= set(pictures)
        )
        if blocks:
            found.append(DocumentSection(section.name, section.title, blocks))
    return found


def _picture_names(gallery: GalleryBlock) -> list[str]:
    """The image files of a gallery, each once."""
    names = [e.image for e in gallery.exhibits]
    names += [
        n for e in gallery.exhibits for f in e.images for n in (f.image, f.difference, f.outlined)
    ]
    return [name for name in dict.fromkeys(names) if name]


def _advice(text: str) -> Markup:
    """Escaped; in our own words what stands between backticks is code."""
    shown = escape(plain(text))
    return Markup(_CODE.sub(r"<code>\1</code>", str(shown))) if text in OWN_WORDS else shown


def _unbroken(text: str) -> str:
    """With no-break spaces where a line must not end."""
    return _KEPT_TOGETHER.sub("\N{NO-BREAK SPACE}", text)


def _read(name: str) -> str:
    return (files("robust.report") / "templates" / name).read_text(encoding="utf-8")


def _data_address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
