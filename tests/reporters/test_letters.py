"""The scorecard says on whose authority a ministry was looked at, and who signed it."""

from __future__ import annotations

from posture.inventory.statement import statement_digest
from posture.report import Report, scorecard_document
from posture.reporters.html import pages
from posture.reporters.markdown import scorecard_markdown
from posture.signatures import Authority
from tests.reporters import sample

LETTER = "zz-2026-001"


def report_signed(*signers: str) -> Report:
    inventory = sample.inventory()
    sha256 = statement_digest(inventory.authorisations[LETTER], inventory.state)
    return sample.report(authorities={LETTER: Authority(LETTER, 0, sha256, signers)})


def texts(report: Report) -> list[str]:
    """The national page, each ministry's page, and the one text for everything."""
    html = pages(report)
    shown = [text for name, text in html.items() if name == "index.html" or name.startswith("ministry")]
    assert len(shown) == 1 + len(report.ministries)
    return [*(" ".join(page.split()) for page in shown), scorecard_markdown(report)]


def test_every_page_names_the_letter_and_who_signed_it() -> None:
    for text in texts(report_signed("cert-head", "ps-finance")):
        assert LETTER in text
        assert "Letter 41: signed by cert-head, ps-finance" in text.replace("\\", "")


def test_unsigned_and_unrecorded_are_said_so() -> None:
    for text in texts(report_signed()):
        assert "Letter 41: unsigned" in text
        assert "signed by" not in text
    for text in texts(sample.report()):
        assert "not recorded for this run" in text


def test_the_document_has_it_too() -> None:
    rows = scorecard_document(report_signed("ps-finance"))["ministries"]

    expected = [{"id": LETTER, "reference": "Letter 41", "signed_by": ["ps-finance"]}]
    assert [row["authorisations"] for row in rows] == [expected, expected]
    assert scorecard_document(sample.report())["ministries"][0]["authorisations"][0]["signed_by"] is None
