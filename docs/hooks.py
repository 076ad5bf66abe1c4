"""What MkDocs does not do by itself: generated pages, formulas as MathML, results included."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))

import generate

EXPERIMENTS = {
    "strength": "Attack strength against other libraries",
    "speed": "Speed against other libraries",
    "gpu": "What ran on a GPU",
    "adaptive": "Detectors against adaptive attacks",
    "ma2021": "Ma et al. 2021, reproduced",
    "coverage": "How often intervals hold the truth",
    "augmentation": "Corruptions as augmentation",
    "domain": "Domain knowledge: masks and other starts",
    "storage": "Effect of saving the image",
    "corruptions": "Corruptions: parity, speed, errors",
    "doubts": "False alarms and misses of warnings",
    "pneumoniamnist": "A published PneumoniaMNIST classifier",
}
"""Folders of `experiments/` whose RESULTS.md is a page, and what the page is called."""
_FORMULA = re.compile(r"<(span|div) class=\"arithmatex\">\\[\[(](.*?)\\[\])]</\1>", flags=re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages into the navigation."""
    pages = {
        "Attacks": [(n, f"attacks/{generate.slug(n)}.md") for n in generate.attack_names()],
        "Detectors": [(n, f"detectors/{generate.slug(n)}.md") for n in generate.detector_names()],
        "Results": [(title, f"results/{name}/index.md") for name, title in EXPERIMENTS.items()],
    }
    _extend(config.nav or [], pages)
    return config


def _extend(nav: list[Any], pages: dict[str, list[tuple[str, str]]]) -> None:
    for entry in nav:
        for title, children in entry.items() if isinstance(entry, dict) else ():
            if isinstance(children, list):
                children.extend({name: path} for name, path in pages.get(title, ()))
                _extend(children, pages)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are written from classes, and files from elsewhere in the repository."""
    for name in generate.attack_names():
        _add(files, config, f"attacks/{generate.slug(name)}.md", generate.attack_page(name))
    for name in generate.detector_names():
        _add(files, config, f"detectors/{generate.slug(name)}.md", generate.detector_page(name))
    for name in EXPERIMENTS:
        folder = generate.ROOT / "experiments" / name
        _include(files, config, f"results/{name}/index.md", folder / "RESULTS.md")
        for picture in sorted((folder / "results").glob("*.png")):
            _include(files, config, f"results/{name}/results/{picture.name}", picture)
    _include(files, config, "changelog.md", generate.ROOT / "CHANGELOG.md")
    _include(files, config, "contributing.md", generate.ROOT / "CONTRIBUTING.md")
    return files


def _add(files: Files, config: MkDocsConfig, path: str, content: str) -> None:
    files.append(File.generated(config, path, content=content))


def _include(files: Files, config: MkDocsConfig, path: str, source: Path) -> None:
    files.append(File.generated(config, path, abs_src_path=str(source)))


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill the places that are marked as generated."""
    return generate.filled(markdown)


def on_page_content(content: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas become MathML, which browsers show without a script."""
    return _FORMULA.sub(_mathml, content)


def _mathml(match: re.Match[str]) -> str:
    display = "block" if match[1] == "div" else "inline"
    return str(convert(html.unescape(match[2]).strip(), display=display))
