"""The scorecard as a PDF to print or file: the self-contained page, laid out by WeasyPrint (the extra ``posture[pdf]``).

Tagged (PDF/UA-1), with bookmarks, the TLP label and a number on every page. It is made of the page alone: whatever would
be fetched, from the network or from this machine, is refused.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from importlib import resources
from typing import NoReturn

from posture.errors import UsageError
from posture.report import Report
from posture.reporters.cells import terminal
from posture.reporters.html import single_page

INSTALL = "a PDF needs the extra 'pdf'. Install it with: pip install 'posture[pdf]'"
LIBRARY = (
    "a PDF needs the text layout library Pango, which this machine lacks. As root on Debian: apt-get install "
    "libpangoft2-1.0-0, or print the HTML from a browser."
)


_DRAWING = re.compile(r"<svg\b[^>]*>")
_GRADE = re.compile(r"\bgrade-([a-z]+)")
_DRAWS = re.compile(r"[^{}]+\{[^{}]*(?:fill|stroke|font-size)[^{}]*\}")  # a rule that a drawing needs
_FONT = re.compile(r"font:(\d+) (\d+px) ([^;{}]+)")
_INKS = re.compile(r":root\{([^}]*)\}")
_INK = re.compile(r"--([a-z]+):(#[0-9a-f]+)")
_LABEL_INKS = {"TLP:RED": "#ff2b2b", "TLP:GREEN": "#33ff00", "TLP:CLEAR": "#ffffff"}  # FIRST TLP 2.0; amber otherwise


def scorecard_pdf(report: Report) -> bytes:
    """The same report gives the same bytes, on machines with the same fonts.

    Raises:
        UsageError: the extra is not installed, or the machine lacks its library; says what to install.
    """
    try:
        import weasyprint
        from weasyprint.urls import URLFetcher
    except ImportError as fault:
        raise UsageError(INSTALL) from fault
    except OSError as fault:
        raise UsageError(LIBRARY) from fault

    class Nothing(URLFetcher):  # type: ignore[misc]  # its base is untyped
        """Fetches nothing, from nowhere."""

        def fetch(self, url: str, headers: Mapping[str, str] | None = None) -> NoReturn:  # noqa: ARG002 - its base's names
            raise ValueError(f"refused: {terminal(url)}")

    for name in ("weasyprint", "fontTools"):  # they tell of CSS that is for screens, and of every font
        logging.getLogger(name).setLevel(logging.CRITICAL)
    (page,) = single_page(report).values()
    laid = _with_drawings(page).replace("</head>", f"<style>{_style(report)}</style></head>", 1)
    document = weasyprint.HTML(string=laid, url_fetcher=Nothing(), media_type="print")
    identifier = hashlib.sha256(page.encode()).digest()[:16]
    return bytes(document.write_pdf(pdf_variant="pdf/ua-1", pdf_identifier=identifier))


def _style(report: Report) -> str:
    """What paper needs beyond the page's own style for print: the label and the number on every sheet."""
    label, whose = _quoted(report.tlp), _quoted(f"Cyber posture · {_subject(report)}")
    ink = _LABEL_INKS.get(report.tlp, "#ffc000")
    boxes = (
        f"@page{{@top-left{{content:{whose}}}@top-right{{content:{label};color:{ink}}}"
        f"@bottom-left{{content:{label};color:{ink}}}}}\n"
    )
    return boxes + resources.files("posture.reporters").joinpath("templates/paper.css").read_text("utf-8")


def _with_drawings(page: str) -> str:
    """The page with its style for drawings inside of them, where alone WeasyPrint looks for it, and in plain colours."""
    style = resources.files("posture.reporters").joinpath("templates/style.css").read_text("utf-8")
    screen, _, paper = style.partition("@media print{")
    inks: dict[str, str] = dict(_INK.findall(_INKS.findall(paper)[0]))
    rules = "".join(_DRAWS.findall(screen.partition("@media (max-width")[0]))
    rules = re.sub(r"var\(--([a-z]+)\)", lambda found: inks.get(str(found[1]), "#000"), rules)
    rules = _FONT.sub(r"font-weight:\1;font-size:\2;font-family:\3", rules)  # the short form it does not know here

    def within(found: re.Match[str]) -> str:
        grade = _GRADE.search(found[0])
        ink = inks.get(str(grade[1]), inks["none"]) if grade else inks["ink"]
        return f"{found[0]}<style>{rules.replace('currentColor', ink)}</style>"

    return _DRAWING.sub(within, page)


def _subject(report: Report) -> str:
    return ", ".join(ministry.name for ministry in report.ministries) if report.is_narrowed else report.state_name


def _quoted(text: str) -> str:
    """A CSS string: its escapes are written for every character that could end it or begin another."""
    shown = terminal(text, 120)
    return '"' + "".join(char if char.isalnum() or char in " ·.,:+-" else f"\\{ord(char):x} " for char in shown) + '"'
