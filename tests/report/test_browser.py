"""The page in a real browser: nothing fetched, nothing broken, every control works."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from robust.cases import open_cases
from robust.engine import audit
from robust.models import Classifier
from robust.records import Report
from robust.report import write_report
from tests.engine.nets import trained

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("no chromium here (Debian: apt-get install chromium)", allow_module_level=True)

QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
NASTY = '<img src=x onerror="window.hacked=1">"&\N{HEBREW LETTER SHIN}'
PAGES = ("report", "regulatory")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """A real run with subgroups, a gallery, and a class that is called by a tag."""
    out = tmp_path_factory.mktemp("browser") / "run"
    cases = open_cases("phantom:chest_xray", count=60, pixels=28)
    entries = tuple(
        dataclasses.replace(e, metadata={"sex": "fm"[i % 2]}) for i, e in enumerate(cases.entries)
    )
    report = audit(
        Classifier(trained(28), channels=1),
        dataclasses.replace(cases, entries=entries, classes=("normal", NASTY)),
        attacks=["Noise", "FGSM", "PGD"],
        eps=["1/255", "3/255", "6/255"],
        title=f"A title of {NASTY}",
        out=out,
    )
    write_report(report, out, "html")
    write_report(report, out, "html", template="regulatory")
    return report, out


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any, run: tuple[Report, Path]) -> Iterator[Any]:
    """Opens a page and, at the end, fails for what it said on the console or asked for."""
    contexts, complaints = [], []

    def go(name: str = "report", **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        target = (run[1] / f"{name}.html").as_uri()
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((target, "data:"))
                else complaints.append(request.url)
            ),
        )
        page.goto(target)
        return page

    yield go
    for context in contexts:
        context.close()
    assert not complaints


STRUCTURE = """() => {
  const text = (e) => (e.innerText || e.textContent || "").trim();
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  const levels = [...document.querySelectorAll("h1,h2,h3,h4")].map((e) => +e.tagName[1]);
  return {
    overflow: document.documentElement.scrollWidth - innerWidth,
    silent: [...document.querySelectorAll("img")].filter((e) => !e.alt.trim()).length
      + [...document.querySelectorAll("svg")].filter((e) => !e.closest("[aria-label]")).length,
    images: document.querySelectorAll("img").length,
    nameless: [...document.querySelectorAll("input,select,button,summary")]
      .filter((e) => !text(e.closest("label") || e)).length,
    dead: [...document.querySelectorAll("a[href^='#']")]
      .filter((e) => !document.getElementById(e.getAttribute("href").slice(1)))
      .map((e) => e.getAttribute("href")),
    twice: ids.filter((id, i) => ids.indexOf(id) !== i && !id.match(/^[a-zA-Z]*-?[0-9a-f]*$|_/)),
    skipped: levels.some((l, i) => i && l > levels[i - 1] + 1) || levels[0] !== 1,
    lang: document.documentElement.lang,
    hacked: window.hacked,
  };
}"""

# Contrast as WCAG 2 defines it, of every element that has text of its own.
CONTRAST = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = (top, below) => {
    const a = top[3] ?? 1;
    return [0, 1, 2].map((i) => top[i] * a + below[i] * (1 - a));
  };
  const background = (e) => {
    if (!e) return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
    const own = parse(getComputedStyle(e).backgroundColor);
    return (own[3] ?? 1) === 1 ? own : over(own, background(e.parentElement));
  };
  const weak = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest("svg,option,script,style")) continue;
    const paper = background(e);
    const a = light(over(parse(getComputedStyle(e).color), paper)), b = light(paper);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) weak.push([ratio.toFixed(2), e.className, e.textContent.slice(0, 40)]);
  }
  return weak;
}"""


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [1440, 768, 390])
def test_structure_and_contrast(visit: Any, name: str, width: int) -> None:
    for scheme in ("light", "dark"):
        page = visit(name, viewport={"width": width, "height": 900}, color_scheme=scheme)
        seen = page.evaluate(STRUCTURE)
        assert seen["images"] > 20 and seen["lang"] == "en"
        wanted = {"overflow": 0, "silent": 0, "nameless": 0, "dead": [], "twice": []}
        assert {key: seen[key] for key in wanted} == wanted
        assert not seen["skipped"] and seen["hacked"] is None
        assert page.evaluate(CONTRAST) == []


def test_the_slider_shows_each_eps(visit: Any, run: tuple[Report, Path]) -> None:
    report, _ = run
    page = visit()
    slider = page.locator(".gallery [name=frame]")
    slider.focus()
    for place, key in ((0, "Home"), (1, "ArrowRight"), (2, "End")):
        page.keyboard.press(key)
        wanted = f"L∞ {(1, 3, 6)[place]}/255"
        assert page.locator(".gallery output").inner_text() == wanted
        assert slider.get_attribute("aria-valuetext") == wanted
        for number, exhibit in enumerate(report.gallery):
            card = page.locator(".exhibit").nth(number)
            assert card.locator(".frame:not([hidden])").count() == 1
            shown = card.locator(".frame:not([hidden])").inner_text()
            frame = exhibit.frames[place]
            assert frame.prediction in shown and f"({frame.probability:.2f})" in shown
            assert f"{frame.magnified:g}" in shown.split("difference")[1]


def test_the_gallery_filter(visit: Any, run: tuple[Report, Path]) -> None:
    fell = sum(exhibit.fell_at is not None for exhibit in run[0].gallery)
    page = visit()
    for choice, count in (("fell", fell), ("held", len(run[0].gallery) - fell), ("", 6)):
        page.locator(".gallery [name=shown]").select_option(choice)
        assert page.locator(".exhibit:visible").count() == count
        assert page.locator(f".exhibit.{choice or 'fell'}:visible").count() == (
            count if choice else fell
        )


def test_the_filters_of_the_table(visit: Any, run: tuple[Report, Path]) -> None:
    report, _ = run
    page = visit()
    rows = page.locator("#table-results tbody tr:visible")
    whole = 1 + len(report.rows) + len(report.worst_cases)
    assert rows.count() == whole
    form = page.locator("form[data-for=table-results]")
    form.locator("[name=attack]").select_option("PGD")
    assert rows.count() == 3 and "3 of" in form.locator("output").inner_text()
    form.locator("[name=eps]").select_option("L∞ 3/255")
    assert rows.count() == 1 and "PGD, L∞ 3/255" in rows.first.inner_text()
    form.locator("[name=attack]").select_option("")
    assert rows.count() == 4  # three attacks and the worst case
    form.locator("[name=eps]").select_option("")
    assert rows.count() == whole and form.locator("output").inner_text() == ""


@pytest.mark.parametrize("width", [1440, 390])
def test_a_term_explains_itself_to_mouse_and_keyboard(visit: Any, width: int) -> None:
    page = visit(viewport={"width": width, "height": 900})
    tip = page.locator("#tip")
    assert not tip.is_visible()
    for term in (page.locator(".results .term").first, page.locator(".results .term").last):
        term.focus()
        assert tip.is_visible() and tip.inner_text() == term.get_attribute("data-tip")
        assert term.get_attribute("aria-describedby") == "tip"
        box = tip.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    page.locator(".results .term").first.hover()
    assert tip.is_visible()
    page.mouse.move(1, 1)
    assert not tip.is_visible()


def test_without_script_all_is_there_and_no_control_is_dead(visit: Any) -> None:
    page = visit(java_script_enabled=False)
    assert page.locator("form:visible").count() == 0
    assert page.locator(".exhibit").count() == page.locator(".frame:not([hidden])").count() == 6
    assert page.locator("#table-results tbody tr:visible").count() == 13


@pytest.mark.parametrize("name", PAGES)
def test_on_paper(visit: Any, name: str, tmp_path: Path) -> None:
    page = visit(name, color_scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("nav:visible, form:visible").count() == 0
    assert page.locator("details[open]").count() == page.locator("details").count() == 1
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(CONTRAST.replace("(prefers-color-scheme: dark)", "not all")) == []
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    paper = (tmp_path / "page.pdf").read_bytes()
    assert paper.startswith(b"%PDF") and paper.count(b"/Type /Page\n") >= 3


def test_nothing_moves_where_motion_is_unwelcome(visit: Any) -> None:
    for wish, behaviour in (("reduce", "auto"), ("no-preference", "smooth")):
        page = visit(reduced_motion=wish)
        style = "getComputedStyle(document.documentElement).scrollBehavior"
        assert page.evaluate(style) == behaviour
