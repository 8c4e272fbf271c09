"""The site in a real browser, behind a proxy of ours on loopback that sees every request it makes."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from posture.reporters import write_site
from tests.lab import need
from tests.reporters import sample
from tests.reporters.hostile import PAYLOADS
from tests.reporters.sinks import elements

HOST = "site.test"
# What the browser asks for on its own account (clock, updates, log-in), whatever page it shows.
OF_THE_BROWSER = re.compile(
    r"(https?://)?(clients\d*|accounts|update|www|android\.clients|optimizationguide-pa|content-autofill|safebrowsing)"
    r"\.google(apis)?\.com[:/].*"
)
MEASURE = """<!doctype html><title>measure</title><pre id=out></pre>{frames}<script>
onload = () => {{
  const report = {{}};
  for (const frame of document.querySelectorAll("iframe")) {{
    const page = frame.contentDocument, root = page.documentElement;
    report[frame.name] = {{
      overflow: root.scrollWidth - root.clientWidth,
      cut: Math.max(0, ...[...page.querySelectorAll(".scroll")].map(e => e.scrollWidth - e.clientWidth)),
      styled: getComputedStyle(page.querySelector(".tlp")).backgroundColor,
      focusable: page.querySelectorAll("a[href], summary, [tabindex='0']").length,
      small: [...page.querySelectorAll("p, td, dd, li")].filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length,
    }};
  }}
  document.getElementById("out").textContent = JSON.stringify(report);
}}
</script>"""


@dataclass
class Proxy:
    """Serves ``files`` as http://site.test/NAME and notes every address that is asked for, here or elsewhere."""

    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)
    port: int = 0


@contextmanager
def proxy(files: dict[str, bytes]) -> Iterator[Proxy]:
    state = Proxy(files)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            name = urlsplit(self.path).path.removeprefix("/")
            body = state.files.get(name) if urlsplit(self.path).hostname == HOST else None
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def do_CONNECT(self) -> None:
            state.asked.append(self.path)
            self.send_error(403)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def browse(page: str, state: Proxy, profile: Path) -> tuple[str, str]:
    """The page's DOM after load, and what the console said."""
    chromium = need("chromium", "chromium")
    done = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
            "--disable-dev-shm-usage", "--enable-logging=stderr", f"--user-data-dir={profile}",
            f"--proxy-server=http://127.0.0.1:{state.port}", "--window-size=1400,1200", "--dump-dom",
            f"http://{HOST}/{page}",
        ],
        capture_output=True, timeout=60, check=False, env={"HOME": str(profile), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def measured(
    directory: Path, names: list[str], width: int, profile: Path
) -> tuple[dict[str, dict[str, object]], Proxy, str]:
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    frames = "".join(f'<iframe name="{name}" src="{name}" width="{width}" height="800"></iframe>' for name in names)
    with proxy(files | {"measure.html": MEASURE.format(frames=frames).encode()}) as state:
        dom, console = browse("measure.html", state, profile)
    found = re.search(r'<pre id="out">(.*?)</pre>', dom, re.DOTALL)
    assert found, console
    return json.loads(unescape(found[1])), state, console


def samples_of(directory: Path) -> list[str]:
    """Every kind of page, twice where there are many."""
    names = sorted(path.name for path in directory.glob("*.html"))
    many = [name for kind in ("asset-", "control-") for name in [one for one in names if one.startswith(kind)][:2]]
    return [name for name in names if not name.startswith(("asset-", "control-"))] + many


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, with a hostile host among its findings."""
    directory = tmp_path_factory.mktemp("site")
    rows = sample.rows() + [
        sample.row(sample.WWW, "web.header.basic", "fail", payload, subject=payload[:300], args={"seen": payload})
        for payload in PAYLOADS
    ]
    write_site(sample.report(rows), directory)
    single = tmp_path_factory.mktemp("single")
    (directory / "single.html").write_bytes(write_site(sample.report(rows), single, single_file=True).read_bytes())
    return directory


@pytest.mark.parametrize("width", [360, 1200])
def test_pages_fit_their_width_are_styled_and_ask_for_nothing(site: Path, width: int, tmp_path: Path) -> None:
    names = samples_of(site)
    report, state, console = measured(site, names, width, tmp_path)
    assert sorted(report) == sorted(names)
    for name, page in report.items():
        assert page["overflow"] == 0, name
        assert page["cut"] == 0, name  # no column of a table is out of sight
        assert page["styled"] == "rgb(0, 0, 0)", name  # the policy let our own style in
        assert page["small"] == 0, name
        assert isinstance(page["focusable"], int)
        assert page["focusable"] >= 4
    asked = {address for address in state.asked if not OF_THE_BROWSER.fullmatch(address)}
    assert asked <= {f"http://{HOST}/{name}" for name in [*names, "measure.html", "favicon.ico"]}
    assert "Content Security Policy" not in console
    assert "Refused to" not in console


def test_the_measurement_notices_what_it_is_there_for(site: Path, tmp_path: Path) -> None:
    good = (site / "method.html").read_text("utf-8")
    wide = tmp_path / "bad"
    wide.mkdir()
    wide.joinpath("wide.html").write_text(good.replace("</main>", '<svg width="900" height="9"></svg></main>'), "utf-8")
    wide.joinpath("style.html").write_text(good.replace("<style>", "<style>p{}"), "utf-8")
    wide.joinpath("remote.html").write_text(
        good.replace("default-src 'none'", "default-src *").replace(
            "</main>", '<img alt="" src="http://elsewhere.test/x.png"></main>'
        ),
        "utf-8",
    )
    report, state, console = measured(wide, ["wide.html", "style.html", "remote.html"], 360, tmp_path / "profile")
    assert report["wide.html"]["overflow"] != 0
    assert report["style.html"]["styled"] != "rgb(0, 0, 0)"
    assert "http://elsewhere.test/x.png" in state.asked
    assert "Content Security Policy" in console


def test_the_browser_builds_exactly_the_elements_of_the_clean_page(tmp_path: Path) -> None:
    """Whatever a host says, Chromium's own parser makes text of it: same elements, same attributes, nothing asked for."""

    def page(name: str, texts: Sequence[str]) -> bytes:
        rows = [
            sample.row(
                sample.WWW,
                control,
                outcome,
                text,
                subject=text[:300],
                provider=text,
                args={"seen": text, "detail": text},
            )
            for text in texts
            for control, outcome in (("tls.hsts.policy", "fail"), ("svc.baseline", "unknown"))
        ]
        events = [sample.event("new", sample.WWW, "tls.hsts.policy", "pass", "fail", subject=text) for text in texts]
        report = sample.report(rows, drift_document=sample.drift() | {"events": events}, previous=None)
        return write_site(report, tmp_path / name, single_file=True).read_bytes()

    # A label for each, so that what is grouped by its words is grouped alike on both pages.
    clean = page("clean", [f"clean {number}" for number, _ in enumerate(PAYLOADS)])
    hostile = page("hostile", [f"{payload} {number}" for number, payload in enumerate(PAYLOADS)])
    with proxy({"clean.html": clean, "hostile.html": hostile}) as state:
        expected, _ = browse("clean.html", state, tmp_path / "profile")
        dom, console = browse("hostile.html", state, tmp_path / "profile")
    asked = {address for address in state.asked if not OF_THE_BROWSER.fullmatch(address)}

    assert len(elements(expected)) > 1000
    assert elements(dom) == elements(expected)
    assert asked <= {f"http://{HOST}/{name}" for name in ("clean.html", "hostile.html", "favicon.ico")}
    assert "Content Security Policy" not in console
