"""The page in a real browser: nothing fetched, nothing broken, every control works."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from robust.auditing import audit
from robust.cases import open_cases
from robust.models import Classifier
from robust.records import AttackResult, Exhibit, Report
from robust.report import write_report
from robust.report.formats.html import render_html
from robust.units import eps_text, norm_text
from tests.engine.nets import trained
from tests.report import detected

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("no chromium here (Debian: apt-get install chromium)", allow_module_level=True)

QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
NASTY = '<img src=x onerror="window.hacked=1">"&\N{HEBREW LETTER SHIN}'
PAGES = ("report", pytest.param("regulatory", marks=pytest.mark.slow))
"""Both templates: their blocks are the same in another order, so that the quick run opens the second
where order could matter, in `test_structure_names_and_contrast`."""
MANY = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia"),
    *("Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening"),
    *("Hernia", "No_Finding"),
)
PAPER = {"width": 703, "height": 1000}  # A4 less its margins, at 96 dots an inch


@dataclasses.dataclass(frozen=True)
class Made:
    """A report and the folder of its two pages."""

    report: Report
    folder: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A real run with subgroups and a gallery, where a class and the title are tags."""
    out = tmp_path_factory.mktemp("browser") / "run"
    cases = open_cases("phantom:chest_xray", count=40, pixels=28)
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
    *others, last = report.gallery
    report = dataclasses.replace(report, gallery=(*others, _unharmed(last)))
    for template in ("standard", "regulatory"):
        write_report(report, out, "html", template=template)
    (out / "many").mkdir()
    page = render_html(_with_classes(report, MANY), phone=False)
    (out / "many" / "report.html").write_text(page, encoding="utf-8")
    for name, detection in (("watched", detected.many()), ("few", detected.detection())):
        shown = dataclasses.replace(report, gallery=(), detection=detection)
        write_report(shown, out / name, "html")
    return Made(report, out)


def _unharmed(exhibit: Exhibit) -> Exhibit:
    """As if no attack had come nearer at any eps: what a page shows then is rare in a run."""
    frames = tuple(
        dataclasses.replace(
            frame,
            attack="",
            prediction=exhibit.prediction,
            probability=exhibit.probability,
            success=False,
            linf=0.0,
            l2=0.0,
            magnification=0.0,
            image=exhibit.image,
            difference="",
        )
        for frame in exhibit.images
    )
    return dataclasses.replace(exhibit, images=frames, smallest_success_eps=None)


def _with_classes(report: Report, names: Sequence[str]) -> Report:
    """As if the classifier told so many classes apart."""
    places = range(len(names))
    square = tuple(tuple(40 if i == j else i * j % 7 for j in places) for i in places)

    def widened(row: AttackResult) -> AttackResult:
        recall = dict.fromkeys(names, row.scores.accuracy)
        scores = dataclasses.replace(row.scores, recall=recall)
        return dataclasses.replace(row, scores=scores, confusion=square if row.confusion else ())

    return dataclasses.replace(
        report,
        clean=widened(report.clean),
        worst_cases=tuple(map(widened, report.worst_cases)),
        data=dataclasses.replace(report.data, classes=dict.fromkeys(names, 40)),
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield started
        started.close()


class Visitor:
    """Opens pages, and writes down what they say on the console and what they ask for."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.complaints: list[str] = []
        self._browser = browser
        self._folder = folder

    def __call__(self, name: str = "report", **options: Any) -> Page:
        page = self._browser.new_context(**options).new_page()
        target = (self._folder / f"{name}.html").as_uri()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._asked(request.url, target))
        page.goto(target)
        return page

    def _asked(self, url: str, target: str) -> None:
        if url.split("#")[0] != target and not url.startswith("data:"):
            self.complaints.append(f"asked for {url}")


@pytest.fixture
def visit(browser: Browser, made: Made) -> Iterator[Visitor]:
    visitor = Visitor(browser, made.folder)
    yield visitor
    for context in browser.contexts:
        context.close()
    assert not visitor.complaints


STRUCTURE = """() => {
  const all = (what) => [...document.querySelectorAll(what)];
  const ids = all("[id]").map((e) => e.id);
  const levels = all("h1,h2,h3,h4,h5,h6").map((e) => +e.tagName[1]);
  const links = all("a[href^='#'], use").map((e) => e.getAttribute("href")
    ?? e.getAttributeNS("http://www.w3.org/1999/xlink", "href"));
  const clips = all("[clip-path]").map((e) => e.getAttribute("clip-path").slice(4, -1));
  return {
    overflow: document.documentElement.scrollWidth - innerWidth,
    images_without_text: all("img").filter((e) => !e.alt.trim()).length,
    drawings_without_label: all("svg")
      .filter((e) => !e.closest("[role=img]")?.ariaLabel?.trim()).length,
    unlabelled: all("[role=region],[role=img],article,nav")
      .filter((e) => !e.ariaLabel?.trim()).length,
    dead_links: [...links, ...clips].filter((to) => !document.getElementById(to.slice(1))),
    ids_used_twice: ids.filter((id, i) => ids.indexOf(id) !== i),
    skipped_levels: levels.filter((l, i) => l > (levels[i - 1] ?? 0) + 1),
    titles: levels.filter((l) => l === 1).length,
    out_of_reach: all("body *").filter((e) => e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0
      && ["auto", "scroll"].includes(getComputedStyle(e).overflowX)).map((e) => e.outerHTML),
    small_controls: all("input,select").filter((e) => e.offsetHeight < 24).length,
    language: document.documentElement.lang,
    hacked: window.hacked ?? null,
  };
}"""

# Contrast as WCAG 2 defines it: of every element that shows text of its own (4.5), and in figures
# of every glyph (4.5) and every line that is not faint on purpose (3).
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
  const papers = new Map(), ratios = new Map();
  const paper = (e) => {
    if (!e) return [255, 0, 255];
    if (!papers.has(e)) {
      const own = parse(getComputedStyle(e).backgroundColor);
      papers.set(e, (own[3] ?? 1) === 1 ? own : over(own, paper(e.parentElement)));
    }
    return papers.get(e);
  };
  const ratio = (e, colour) => {
    const below = paper(e), pair = `${colour} on ${below}`;
    if (!ratios.has(pair)) {
      const a = light(over(parse(colour), below)), b = light(below);
      ratios.set(pair, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
    }
    return ratios.get(pair);
  };
  let seen = 0;
  const weak = [];
  const judge = (e, colour, least, what) => {
    seen += 1;
    const found = ratio(e, colour);
    if (found < least) weak.push(`${found.toFixed(2)} ${colour} ${what}`);
  };
  for (const e of document.querySelectorAll("body *")) {
    if (!e.checkVisibility() || e.closest("option,script,style")) continue;
    const style = getComputedStyle(e);
    const box = e.closest("svg");
    if (!box) {
      const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
      if (own || e.tagName === "SELECT") judge(e, style.color, 4.5, e.textContent.slice(0, 60));
      for (const kind of ["::before", "::after"]) {
        const part = getComputedStyle(e, kind);
        if (part.content !== "none") judge(e, part.color, 4.5, part.content);
      }
    } else if (e.tagName === "use" && style.fill !== "none" && style.fillOpacity > 0.5) {
      const least = e.closest("[id*=text_]") ? 4.5 : 3;
      judge(box.parentElement, style.fill, least, e.getAttribute("xlink:href"));
    } else if (e.tagName === "path" && style.stroke !== "none" && style.strokeOpacity > 0.5) {
      judge(box.parentElement, style.stroke, 3, e.parentElement.id);
    }
  }
  return { seen, weak };
}"""

NAMED = {"image", "img", "slider", "combobox", "link", "button", "DisclosureTriangle"} | {
    *("region", "article", "navigation", "columnheader", "rowheader", "heading")
}


def nameless(page: Page) -> tuple[set[str], list[str]]:
    """The roles on the page that need a name, and those of them that go without; as Chromium tells
    a screen reader."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
    nodes = [n for n in tree["nodes"] if not n["ignored"] and n["role"]["value"] in NAMED]
    roles = [(n["role"]["value"], n.get("name", {}).get("value", "").strip()) for n in nodes]
    return {role for role, _ in roles}, [role for role, name in roles if not name]


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("report", 1440),
        ("regulatory", 390),
        pytest.param("regulatory", 1440, marks=pytest.mark.slow),
        pytest.param("report", 390, marks=pytest.mark.slow),
        pytest.param("report", 768, marks=pytest.mark.slow),
        pytest.param("regulatory", 768, marks=pytest.mark.slow),
    ],
)
def test_structure_names_and_contrast(visit: Visitor, name: str, width: int) -> None:
    page = visit(name, viewport={"width": width, "height": 900}, color_scheme="light")
    assert page.evaluate(STRUCTURE) == {
        "overflow": 0,
        "images_without_text": 0,
        "drawings_without_label": 0,
        "unlabelled": 0,
        "dead_links": [],
        "ids_used_twice": [],
        "skipped_levels": [],
        "titles": 1,
        "out_of_reach": [],
        "small_controls": 0,
        "language": "en",
        "hacked": None,
    }
    page.locator(".term:visible").first.focus()
    assert page.locator("#tip").is_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate(CONTRAST)
        assert found["seen"] > 500 and found["weak"] == [], scheme
    roles, without = nameless(page)
    assert roles >= {"image", "slider", "combobox", "link", "DisclosureTriangle", "region"}
    assert without == []


@pytest.mark.parametrize("name", PAGES)
def test_names_are_text_and_no_script_runs_but_the_pages_own(
    visit: Visitor, browser: Browser, made: Made, name: str
) -> None:
    page = visit(name)
    assert page.locator("h1").inner_text() == page.title() == f"A title of {NASTY}"
    assert NASTY in page.locator("#table-confusion-0").inner_text()
    assert page.locator("img[src=x]").count() == 0
    page.evaluate("document.querySelector('h1').innerHTML = document.title + '<script>'")
    page.wait_for_timeout(50)
    assert page.evaluate("document.querySelectorAll('img[src=x]').length") == 1
    assert page.evaluate("window.hacked") is None
    # Newer browsers complain of the image's address as well, and first.
    assert any("script-src" in complaint for complaint in visit.complaints)
    visit.complaints.clear()


CARDS = """(cards) => cards.map((card) => {
  const seen = (what, within = card) => [...within.querySelectorAll(what)]
    .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height > 0);
  return {
    frames: [...card.querySelectorAll(".frame")].filter((e) => seen("figcaption", e).length).length,
    captions: seen("figcaption").map((e) => e.innerText),
    pictures: new Set(seen("img").map((e) => e.src)).size,
  };
})"""


@pytest.mark.parametrize("name", PAGES)
def test_the_slider_shows_each_eps(visit: Visitor, made: Made, name: str) -> None:
    page = visit(name)
    slider = page.locator(".gallery [name=frame]")
    said = page.locator(".gallery output")
    assert page.locator(".exhibit").count() == len(made.report.gallery) == 6
    slider.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "2px"
    fooled = [i for e in made.report.gallery for i, f in enumerate(e.images) if f.success]
    places = [(None, min(fooled)), ("Home", 0), ("ArrowRight", 1), ("End", 2), ("ArrowLeft", 1)]
    for key, place in places:
        if key:
            page.keyboard.press(key)
        wanted = f"L∞ {(1, 3, 6)[place]}/255"
        assert said.inner_text() == slider.get_attribute("aria-valuetext") == wanted
        cards = page.eval_on_selector_all(".exhibit", CARDS)
        for card, exhibit in zip(cards, made.report.gallery, strict=True):
            assert card["frames"] == 1
            frame = exhibit.images[place]
            clean, attacked, changed = card["captions"]
            assert clean == f"clean: read as {exhibit.prediction} ({exhibit.probability:.2f})"
            if not frame.attack:
                assert (attacked, changed) == (
                    f"{wanted}: no attack had an effect",
                    "no difference",
                )
                continue
            assert attacked.startswith(
                f"{wanted}, {frame.attack}: read as {frame.prediction} ({frame.probability:.2f})"
            )
            assert changed == f"difference \N{MULTIPLICATION SIGN} {frame.magnification:g}"
            assert card["pictures"] == 3


def test_the_gallery_opens_where_a_finding_is_missed_and_is_filtered(
    visit: Visitor, made: Made
) -> None:
    first, *_ = made.report.gallery
    fooled = [i for e in made.report.gallery for i, f in enumerate(e.images) if f.success]
    page = visit()
    card = page.locator(".exhibit").first
    assert card.locator("h3 > bdi").inner_text() == first.case
    assert first.label in made.report.data.findings
    image = first.images[min(fooled)]
    assert card.locator(f".frame[data-frame='{min(fooled)}'] img").first.is_visible()
    assert image.success and image.prediction not in made.report.data.findings
    fell = [
        exhibit.case for exhibit in made.report.gallery if exhibit.smallest_success_eps is not None
    ]
    held = [exhibit.case for exhibit in made.report.gallery if exhibit.smallest_success_eps is None]
    assert fell and held
    for choice, wanted in (("misread", fell), ("correct", held), ("", fell + held)):
        page.locator(".gallery [name=shown]").select_option(choice)
        shown = page.locator(".exhibit:visible h3 > bdi").all_inner_texts()
        assert sorted(shown) == sorted(wanted)


FILTERED = """(form, eps) => {
  const select = form.querySelector("[name=eps]");
  select.value = eps;
  select.dispatchEvent(new Event("input", { bubbles: true }));
  const rows = [...document.querySelectorAll("#table-results tbody tr")];
  return [rows.map((row) => row.checkVisibility()), form.querySelector("output").innerText];
}"""


def test_the_filters_of_the_table(visit: Visitor, made: Made) -> None:
    report = made.report
    rows = [report.clean, *report.rows, *report.worst_cases]
    of = [
        (r.attack, "clean" if r.kind == "clean" else f"{norm_text(r.norm)} {eps_text(r.eps)}")
        for r in rows
    ]
    page = visit()
    form = page.locator("form[data-for=table-results]")
    attacks, radii = (_choices(form.locator(f"[name={name}]")) for name in ("attack", "eps"))
    assert attacks == ["", *dict.fromkeys(attack for attack, _ in of)]
    assert radii == ["", *dict.fromkeys(eps for _, eps in of)]
    for attack in attacks:
        form.locator("[name=attack]").select_option(attack)
        for eps in radii:
            shown, said = form.evaluate(FILTERED, eps)
            wanted = [attack in ("", a) and eps in ("", e) for a, e in of]
            assert shown == wanted, (attack, eps)
            assert said == ("" if all(wanted) else f"{sum(wanted)} of {len(rows)} rows")
    form.locator("[name=attack]").select_option("")
    form.locator("[name=eps]").select_option(radii[-1])
    count = sum(eps == radii[-1] for _, eps in of)
    assert form.locator("output").inner_text() == f"{count} of {len(rows)} rows"


def _choices(select: Locator) -> list[str]:
    values: list[str] = select.evaluate("(e) => [...e.options].map((option) => option.value)")
    return values


@pytest.mark.parametrize("width", [390, pytest.param(1440, marks=pytest.mark.slow)])
def test_a_term_explains_itself_to_mouse_and_keyboard(visit: Visitor, width: int) -> None:
    page = visit(viewport={"width": width, "height": 700}, reduced_motion="reduce")
    tip = page.locator("#tip")
    described = page.locator("[aria-describedby=tip]")
    assert not tip.is_visible()
    terms = page.locator(".results .term")
    for term in (page.locator(".term:visible").first, terms.first, terms.last):
        for reach in (term.focus, term.hover):
            reach()
            assert tip.is_visible()
            assert tip.inner_text() == term.get_attribute("data-tip")
            assert term.get_attribute("aria-describedby") == "tip" and described.count() == 1
            box, at = tip.bounding_box(), term.bounding_box()
            assert box and at
            assert box["x"] >= 0 and box["x"] + box["width"] <= width
            assert box["width"] > 300 or box["height"] < 40  # not squeezed at the edge
            assert box["y"] >= 0 and box["y"] + box["height"] <= 700
            below = box["y"] - at["y"] - at["height"]
            assert -1 <= below <= 8 or -1 <= at["y"] - box["y"] - box["height"] <= 8
            page.keyboard.press("Escape")
            assert not tip.is_visible() and described.count() == 0
            page.mouse.move(1, 1)
            term.blur()
    page.locator(".results .term").first.hover()
    tip.hover()  # to read it at leisure
    assert tip.is_visible()
    page.mouse.move(1, 1)
    assert not tip.is_visible()
    # At the lower edge it stands above.
    terms.first.evaluate("(e) => e.scrollIntoView({ block: 'end' })")
    terms.first.hover()
    box, at = tip.bounding_box(), terms.first.bounding_box()
    assert box and at and box["y"] + box["height"] <= at["y"] + 1


def test_the_first_tab_stop_skips_to_the_report(visit: Visitor) -> None:
    page = visit()
    page.keyboard.press("Tab")
    box = page.locator(".skip:focus").bounding_box()
    assert box and box["x"] >= 0 and box["y"] >= 0
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")


@pytest.mark.parametrize("name", PAGES)
def test_without_script_all_is_there_and_no_control_is_dead(
    visit: Visitor, made: Made, name: str
) -> None:
    page = visit(name, java_script_enabled=False)
    assert page.locator("form:visible, input:visible, select:visible").count() == 0
    assert page.locator(".exhibit:visible").count() == 6
    for card in page.locator(".exhibit").all():
        captions = card.locator("figcaption:visible").all_inner_texts()
        assert len(captions) == 3 and captions[1].startswith("L∞ 1/255")
    whole = 1 + len(made.report.rows) + len(made.report.worst_cases)
    assert page.locator("#table-results tbody tr:visible").count() == whole
    page.locator("summary").click()
    assert "[audit]" in page.locator("details pre").inner_text()


@pytest.mark.parametrize("name", PAGES)
def test_on_paper(visit: Visitor, name: str, tmp_path: Path) -> None:
    page = visit(name, color_scheme="dark", viewport=PAPER)
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    paper = (tmp_path / "page.pdf").read_bytes()
    assert paper.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", paper)) >= 3
    page.emulate_media(media="print")
    assert page.locator("nav:visible, form:visible, .skip:visible").count() == 0
    assert page.locator("details").count() == 1
    assert "[audit]" in page.locator("details[open] pre").inner_text()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    found = page.evaluate(CONTRAST)
    assert found["seen"] > 500 and found["weak"] == []
    beyond = "(all) => all.filter((e) => e.getBoundingClientRect().right > innerWidth + 1)"
    beyond += ".map((e) => e.outerHTML.slice(0, 60))"
    assert page.eval_on_selector_all("table, svg, pre, img", beyond) == []
    assert page.locator(".exhibit").first.locator("figcaption:visible").count() == 3
    # Each page has its number.
    rules = "[...document.styleSheets[0].cssRules].map((r) => [...(r.cssRules ?? [])])"
    texts = page.evaluate(f"{rules}.flat().map((r) => r.cssText)")
    assert any("counter(page)" in text and "counter(pages)" in text for text in texts)


FIGURES = """() => [...document.querySelectorAll(".plot")].map((plot) => {
  const shown = [...plot.querySelectorAll("svg")].filter((e) => e.checkVisibility());
  const box = shown[0].getBoundingClientRect();
  return {
    shown: shown.map((e) => e.classList[0]),
    inside: box.left >= 0 && box.right <= innerWidth,
    scrolls: [plot, ...plot.querySelectorAll("div")].some((e) => e.scrollWidth > e.clientWidth),
    scale: box.width / shown[0].viewBox.baseVal.width,
  };
})"""


@pytest.mark.parametrize("name", [*PAGES, "watched/report"])
def test_no_figure_is_cut_on_a_phone_and_its_text_can_be_read(visit: Visitor, name: str) -> None:
    """The smallest text has 7 points, legends have 9; a point is scaled to so many pixels."""
    page = visit(name, viewport={"width": 390, "height": 800})
    for width, wanted in ((390, "narrow"), (1440, "broad")):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        figures = page.evaluate(FIGURES)
        assert len(figures) >= 2
        for figure in figures:
            assert figure["shown"] == [wanted] and figure["inside"] and not figure["scrolls"]
            assert figure["scale"] > 1.2


@pytest.mark.parametrize(("name", "width"), [("watched/report", 1440), ("few/report", 390)])
def test_detectors_in_both_schemes(visit: Visitor, name: str, width: int) -> None:
    page = visit(name, viewport={"width": width, "height": 900}, color_scheme="light")
    if width == 1440:  # where there is no room for the interval of each cell
        _interval_appears_on_hover(page)
    folded = page.locator("details.folded")
    assert folded.count() == (8 if name.startswith("watched") else 4)
    assert page.locator("details[open]").count() == 0
    assert page.locator("#table-heat-0:visible").count() == 0
    page.locator("#detection summary").first.click()
    assert page.locator("#table-heat-0:visible").count() == 1
    found = page.evaluate(STRUCTURE)
    assert found["overflow"] == 0 and not found["out_of_reach"]
    assert not (found["dead_links"] or found["ids_used_twice"] or found["unlabelled"])
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        seen = page.evaluate(CONTRAST)
        assert seen["seen"] > 600 and seen["weak"] == [], scheme
    assert nameless(page)[1] == []
    if width == 1440:
        _each_table_is_whole(page)


def _interval_appears_on_hover(page: Page) -> None:
    cell = page.locator("#table-heat-matched td").first
    shown = "(e) => getComputedStyle(e).opacity"
    assert cell.locator("span").evaluate(shown) == "0"
    cell.hover()
    assert cell.locator("span").evaluate(shown) == "1"
    assert re.fullmatch(r"\[0\.\d\d, 0\.\d\d\]", cell.locator("span").inner_text())


@pytest.mark.slow
def test_each_matrix_is_open_on_paper(visit: Visitor, tmp_path: Path) -> None:
    page = visit("watched/report", color_scheme="dark", viewport=PAPER)
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    found = detected.many()
    if shutil.which("pdftotext") is not None:  # what is cut off at the margin is not in the text
        subprocess.run(["pdftotext", "-layout", "page.pdf"], cwd=tmp_path, check=True)
        text = (tmp_path / "page.txt").read_text(encoding="utf-8")
        cells = len(found.detector_scores) + len(found.null_controls)
        assert len(re.findall(r"(?<![\d.])[01]\.\d\d(?![\d.])", text)) >= cells
    page.emulate_media(media="print")
    assert page.locator("details.folded[open] table:visible").count() == 8
    assert page.evaluate(CONTRAST)["weak"] == []
    beyond = "(all) => all.filter((e) => e.getBoundingClientRect().right > innerWidth + 1).length"
    assert page.eval_on_selector_all("table, svg", beyond) == 0


@pytest.mark.parametrize(
    "name",
    [
        *PAGES,
        "many/report",
        pytest.param("few/report", marks=pytest.mark.slow),
    ],
)
def test_wide_screens_show_each_table_whole(visit: Visitor, name: str) -> None:
    """Those of detectors: `test_detectors_in_both_schemes`."""
    _each_table_is_whole(visit(name, viewport={"width": 1440, "height": 900}))


def _each_table_is_whole(page: Page) -> None:
    page.eval_on_selector_all("details", "(all) => all.forEach((e) => { e.open = true; })")
    cut = "(all) => all.filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.ariaLabel)"
    assert page.eval_on_selector_all(".scroll", cut) == []
    broken = "(all) => all.filter((e) => e.textContent && e.getClientRects().length > 1)"
    broken += ".map((e) => e.textContent)"
    names = ".many bdi, .difficulty bdi, .results tbody bdi"
    assert page.eval_on_selector_all(names, broken) == []


def test_nothing_moves_where_motion_is_unwelcome(visit: Visitor) -> None:
    page = visit()
    for wish, behaviour in (("reduce", "auto"), ("no-preference", "smooth")):
        page.emulate_media(reduced_motion=wish)
        style = "getComputedStyle(document.documentElement).scrollBehavior"
        assert page.evaluate(style) == behaviour
        moving = "(all) => all.filter((e) => parseFloat(getComputedStyle(e).transitionDuration)"
        moving += " + parseFloat(getComputedStyle(e).animationDuration)).length"
        assert page.eval_on_selector_all("body :not(svg *)", moving) == 0
