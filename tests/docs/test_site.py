"""The site builds without a warning and asks nothing of the network."""

from __future__ import annotations

import html.parser
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

pytest.importorskip("mkdocs")


class Loaded(html.parser.HTMLParser):
    """Addresses that a browser fetches to show a page: scripts, styles, fonts, pictures, frames."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what the tag loads."""
        if tag in ("script", "img", "link", "iframe", "source", "video", "object"):
            self.found += [v for k, v in attrs if k in ("src", "href", "data", "srcset") and v]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_no_page_loads_anything_from_outside(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        reader = Loaded()
        reader.feed(page.read_text(encoding="utf-8"))
        assert reader.found
        assert not [one for one in reader.found if re.match(r"(https?:)?//", one)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


@pytest.mark.slow
def test_formulas_are_mathml_and_no_raw_latex_is_left(site: Path) -> None:
    text = (site / "protocol.html").read_text(encoding="utf-8")
    assert "<math" in text and "arithmatex" not in text
    for page in site.rglob("*.html"):
        assert not re.search(r"<mo>&amp;</mo>|\\begin|<mi>\\", page.read_text("utf-8")), page


@pytest.mark.slow
def test_pages_show_in_a_browser_without_a_network(site: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("there is no Chromium here")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        for width in (1440, 390):
            context = browser.new_context(viewport={"width": width, "height": 1000}, offline=True)
            page = context.new_page()
            failed: list[str] = []
            page.on("requestfailed", lambda request, failed=failed: failed.append(request.url))
            for name in ("index", "attacks/index", "protocol", "plan", "results/ma2021/index"):
                page.goto((site / f"{name}.html").as_uri())
                wide, seen = page.evaluate(
                    "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
                )
                assert wide <= seen, (name, width)
                broken = page.evaluate(
                    "[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
                )
                assert not broken, name
            assert not failed
        browser.close()
