"""PDF: the HTML page as it prints, by a headless Chromium or WeasyPrint, without a network."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path

from robust.errors import InputError, excerpt

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""Commands that are looked for on PATH, in this order."""
LONGEST = 180
"""Seconds that a browser may take."""
HOW = (
    "a PDF is printed by a browser or by WeasyPrint: install Chromium, or pip install "
    "'robust-audit[pdf]'; or print report.html from your own browser"
)
"""What to do where there is neither."""
_QUIET = (
    *("--headless", "--disable-gpu", "--no-first-run", "--no-default-browser-check"),
    *("--disable-extensions", "--disable-sync", "--disable-component-update", "--no-pings"),
    *("--disable-background-networking", "--disable-default-apps", "--disable-breakpad"),
    # A proxy that is not there, and names that lead nowhere: whatever it asks for gets no answer.
    *("--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=<-loopback>"),
    "--host-resolver-rules=MAP * ~NOTFOUND",
    *("--no-pdf-header-footer", "--virtual-time-budget=10000"),
)
_SHADED = re.compile(r'(?:class="(above|below)[^"]*" )?style="--share: ([0-9.]+)"')
_SHADES = {"below": "230, 120, 20"}
_SHADE = "0, 114, 178"
_FIGURE_COLOURS = re.compile(r"--figure-(\d): (#[0-9a-f]+);")


def print_page(page: str) -> bytes:
    """The PDF of a page that loads nothing, on A4 as its style for print says.

    The page is rendered with `phone=False`: WeasyPrint would print figures for a phone as well.

    A browser of `BROWSERS` is asked first: it is quicker, and lays out what WeasyPrint cannot.
    InputError where there is neither, or both fail.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    pdf, why = (None, "") if browser is None else _by_browser(browser, page)
    if pdf is None:
        pdf = _by_weasyprint(page)
    if pdf is None:
        raise InputError(f"{why}; {HOW}" if why else HOW)
    return pdf


def _by_browser(browser: str, page: str) -> tuple[bytes | None, str]:
    """The PDF, or why there is none."""
    with tempfile.TemporaryDirectory(prefix="robust-pdf-") as folder:
        source, target = Path(folder) / "page.html", Path(folder) / "page.pdf"
        source.write_text(page, encoding="utf-8", errors="replace")
        # Chromium refuses its sandbox to root; the page runs no script but its own.
        alone = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
        command = [
            *(browser, *_QUIET, *alone, f"--user-data-dir={Path(folder) / 'profile'}"),
            *(f"--print-to-pdf={target}", source.as_uri()),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=LONGEST, check=False, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            return None, f"{browser} printed no page within {LONGEST} seconds"
        except OSError as error:
            return None, f"{browser} does not start: {error.strerror}"
        if done.returncode == 0 and target.is_file():
            return target.read_bytes(), ""
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return None, f"{browser} printed no page ({excerpt(lines[-1] if lines else 'no reason')})"


def _by_weasyprint(page: str) -> bytes | None:
    """The PDF; None where WeasyPrint is not installed, or lacks the libraries it needs."""
    try:
        import weasyprint
    except (ImportError, OSError):  # OSError: Pango is missing
        return None
    for name in ("weasyprint", "fontTools"):  # each rule of the style that it does not know
        logging.getLogger(name).setLevel(logging.ERROR)
    embedded = weasyprint.urls.URLFetcher(allowed_protocols=["data"])
    document = weasyprint.HTML(string=plain_page(page), url_fetcher=embedded)
    return bytes(document.write_pdf())


def plain_page(page: str) -> str:
    """The page with the layout of plain.css, and with colours in place of variables of SVG."""
    style = page.partition("@media print")[2]
    for number, colour in dict(_FIGURE_COLOURS.findall(style)).items():
        page = page.replace(f"var(--figure-{number})", colour)
    layout = (files("robust.report") / "templates" / "plain.css").read_text(encoding="utf-8")
    page = page.replace("</style>", f"{layout}</style>", 1)
    return _SHADED.sub(_shaded, page)


def _shaded(found: re.Match[str]) -> str:
    colour = _SHADES.get(found[1] or "", _SHADE)
    return f'{found[0][:-1]}; background: rgba({colour}, {float(found[2]) / 2:.2f})"'
