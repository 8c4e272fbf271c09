"""The scorecard as a PDF, read back."""

from __future__ import annotations

import builtins
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from posture.errors import UsageError
from posture.report import Report, narrow
from posture.reporters import write_site
from tests.lab import need_library
from tests.reporters import sample

need_library("pangoft2-1.0", "libpangoft2-1.0-0")
pypdf = pytest.importorskip("pypdf", reason="the extra 'tests' has it: pip install 'posture[tests]'")
weasyprint = pytest.importorskip("weasyprint", reason="the extra 'pdf' is not installed: pip install 'posture[pdf]'")


def small(*rows: Any) -> Report:
    """With the pages of three controls, so that a test is not a minute."""
    report = sample.report(*rows)
    kept = ("tls.hsts.policy", "mail.dmarc.policy", "dns.caa.present")
    return replace(report, controls={name: report.controls[name] for name in kept})


def pages(content: bytes) -> list[str]:
    return [" ".join(page.extract_text().split()) for page in pypdf.PdfReader(io.BytesIO(content)).pages]


@pytest.fixture(scope="module")
def finance(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("pdf")
    path = write_site(small(), folder, ministries=["finance"], tlp="RED", format="pdf")
    assert path == folder / "scorecard.pdf"
    return path.read_bytes()


def test_every_page_has_its_label_and_its_number(finance: bytes) -> None:
    found = pages(finance)

    assert len(found) > 3
    for number, text in enumerate(found, 1):
        assert text.count("TLP:RED") >= 2, number
        assert f"Page {number} of {len(found)}" in text


def test_nothing_of_another_ministry_is_in_it(finance: bytes) -> None:
    text = " ".join(pages(finance)).lower()

    assert "ministry of finance" in text
    assert "health" not in text


def test_it_can_be_read_by_those_who_do_not_see(finance: bytes) -> None:
    """Tagged, with a title, a language, and a way through it."""
    reader = pypdf.PdfReader(io.BytesIO(finance))
    root: Any = reader.trailer["/Root"]

    assert root["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in root
    assert str(root["/Lang"]).startswith("en")
    assert reader.metadata is not None
    assert "TLP:RED" in str(reader.metadata.title)
    assert reader.outline
    assert b"pdfuaid" in root["/Metadata"].get_data()


def test_it_runs_nothing_and_leads_nowhere(finance: bytes) -> None:
    reader = pypdf.PdfReader(io.BytesIO(finance))
    root: Any = reader.trailer["/Root"]

    assert not {"/OpenAction", "/AA", "/AcroForm"} & set(root)
    actions = [
        annotation.get_object().get("/A", {}).get("/S")
        for page in reader.pages
        for annotation in page.get("/Annots", [])
    ]
    assert set(actions) <= {None, "/GoTo"}


def test_the_same_report_gives_the_same_bytes(finance: bytes, tmp_path: Path) -> None:
    again = write_site(small(), tmp_path, ministries=["finance"], tlp="RED", format="pdf")

    assert again.read_bytes() == finance


def test_scanned_text_fetches_nothing_and_stays_text(tmp_path: Path) -> None:
    """The fence of the tests fails whatever leaves; a file of this machine must not come in either."""
    secret = tmp_path / "secret.txt"
    secret.write_text("the-secret", "utf-8")
    bait = (
        f'<img src="{secret.as_uri()}"><link rel=attachment href="{secret.as_uri()}">'
        "}</style></svg>@import url(http://evil.test/)"
    )
    report = small([sample.row(sample.WWW, "tls.hsts.policy", "fail", bait)])
    named = replace(report, state_name='"}@page{background:url(http://evil.test/x.png)}</style><b>State')

    content = write_site(named, tmp_path / "site", format="pdf").read_bytes()

    text = " ".join(pages(content))
    assert "the-secret" not in text
    assert b"/EmbeddedFile" not in content
    assert "<img src=" in text


def test_whatever_would_be_fetched_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from posture.reporters import pdf

    picture = tmp_path / "picture.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    page = f"<html lang=en><head><title>t</title></head><body><img alt=x src='{picture.as_uri()}'><p>after</p></body></html>"
    monkeypatch.setattr(pdf, "single_page", lambda report: {"x": page})

    (shown,) = pypdf.PdfReader(io.BytesIO(pdf.scorecard_pdf(small()))).pages
    assert "after" in shown.extract_text()
    assert list(shown.images) == []
    (drawn,) = pypdf.PdfReader(io.BytesIO(weasyprint.HTML(string=page).write_pdf())).pages
    assert list(drawn.images) != []  # it would have been there


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    (tmp_path / "index.html").write_text("mine", "utf-8")

    with pytest.raises(UsageError, match=r"pip install 'posture\[pdf\]'"):
        write_site(small(), tmp_path, format="pdf")
    assert [one.name for one in tmp_path.iterdir()] == ["index.html"]


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def broken(name: str, scope: Mapping[str, object] | None = None, *rest: Any) -> Any:
        if name == "weasyprint":
            raise OSError("cannot load library 'libpango-1.0-0'")
        return real(name, scope, *rest)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(UsageError, match="Pango"):
        write_site(small(), tmp_path, format="pdf")


def test_drawings_have_the_colours_of_print() -> None:
    from posture.reporters.pdf import _with_drawings

    drawn = _with_drawings(
        '<svg class="dial big grade-d" viewBox="0 0 1 1"><text class="letter">D</text></svg><p>x</p>'
    )
    style = drawn.partition("<style>")[2].partition("</style>")[0]

    assert "var(" not in style
    assert "currentColor" not in style
    assert ".letter{font-weight:600;font-size:46px" in style
    assert "fill:#a03a0c" in style
    assert drawn.endswith("<p>x</p>")


def test_the_whole_state_is_there_too(tmp_path: Path) -> None:
    report = narrow(small(), [])
    text = " ".join(pages(write_site(report, tmp_path, format="pdf").read_bytes()))

    names: Sequence[str] = [ministry.name for ministry in report.ministries]
    assert all(name in text for name in names)
