"""The report as one HTML file that fetches nothing: style, script, figures and pictures inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files

import jinja2
from markupsafe import Markup

from robust.records import Report
from robust.report.layout.blocks import DocumentSection, GalleryBlock, Order
from robust.report.layout.standard import make_document, standard
from robust.report.text import format as words
from robust.report.text.glossary import TERMS

_NOTHING: Mapping[str, bytes] = {}


def render_html(
    report: Report, order: Order = standard, pictures: Mapping[str, bytes] = _NOTHING
) -> str:
    """A page; every name in it is escaped, and no script runs but its own.

    `pictures` are the PNG files of the gallery by name; without all of them there is no gallery.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("robust.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.tests["named"] = lambda block, name: type(block).__name__ == name
    document = make_document(report, order)
    script = _read("page.js")
    return environment.get_template("page.html.j2").render(
        report=report,
        document=document,
        sections=_hung(document.sections, pictures),
        words=words,
        terms=TERMS,
        style=Markup(_read("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        pictures={name: _data(png) for name, png in pictures.items()},
    )


def _hung(
    sections: tuple[DocumentSection, ...], pictures: Mapping[str, bytes]
) -> list[DocumentSection]:
    """Without galleries whose pictures are not all at hand, and what they leave empty."""
    found = []
    for section in sections:
        blocks = tuple(
            block
            for block in section.blocks
            if not isinstance(block, GalleryBlock) or set(picture_names(block)) <= set(pictures)
        )
        if blocks:
            found.append(DocumentSection(section.name, section.title, blocks))
    return found


def picture_names(gallery: GalleryBlock) -> list[str]:
    """The files that a gallery shows, each once."""
    names = [e.image for e in gallery.exhibits]
    names += [n for e in gallery.exhibits for f in e.images for n in (f.image, f.difference)]
    return [name for name in dict.fromkeys(names) if name]


def _read(name: str) -> str:
    return (files("robust.report") / "templates" / name).read_text(encoding="utf-8")


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
