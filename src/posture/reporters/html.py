"""The scorecard as pages for a browser: self-contained, no script, no request, nothing trusted from a scanned host.

Autoescape is on everywhere; scanned text escapes itself and cannot become anything else; ``finalize`` writes control
and bidi characters of all other text out; no href is built from scanned data (pages are named by our own ids and
hashes); and the Content-Security-Policy admits only the style by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from posture.checks.mending import line_of, place_of
from posture.model import AssetKey, Outcome, Severity
from posture.report import AssetEntry, ControlText, MinistryReport, Report, Row
from posture.reporters import words
from posture.reporters.cells import asset_slug, shell_words, slug, terminal
from posture.reporters.chart import chart
from posture.reporters.trend import because
from posture.reporters.unseen import refused, unseen
from posture.scanned import visible
from posture.scorecard import PILLARS, Cap, Score, instant, letter_of
from posture.steps import five_things

HOME = "index"
WORSE = ("new", "regressed")
BETTER = ("fixed",)
SEVERITIES = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Page:
    """``id`` is the file name without .html, and the anchor in a single file; it is made by us alone."""

    id: str
    title: str
    template: str
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToMend:
    """One control that somebody must mend, with every place where it was seen."""

    control: ControlText | None
    id: str
    severity: Severity
    outcome: Outcome
    rows: tuple[Row, ...]
    provider: str | None


def pages(report: Report) -> dict[str, str]:
    """File name -> HTML; the first one is the page to open."""
    site = _Site(report, single=False)
    return {f"{page.id}.html": site.document(page.title, [page]) for page in site.pages()}


def single_page(report: Report) -> dict[str, str]:
    """Everything in one file."""
    site = _Site(report, single=True)
    return {"scorecard.html": site.document(f"Cyber posture: {report.state_name}", site.pages())}


class _Site:
    """The pages of one report, and the links between them."""

    def __init__(self, report: Report, *, single: bool) -> None:
        self.report = report
        self.single = single
        self.findings = _by(report.findings, lambda row: row["ministry"])
        self.by_asset = _by(report.findings, lambda row: AssetKey(row["asset"], row["kind"]))
        self.by_control = _by(report.findings, lambda row: row["control"])
        self.known = {asset.key for ministry in report.ministries for asset in ministry.assets}
        self.zone = _zone(report.timezone)
        self.environment = _environment()
        self.environment.globals.update(
            report=report,
            single=single,
            home=HOME,
            url=self._url,
            ministry_id=self._ministry_id,
            asset_id=asset_slug,
            event_asset=self._event_asset,
            row_asset=lambda row: AssetKey(row["asset"], row["kind"]),
            control_id=_control_id,
            known_assets=self.known,
            ministry_names={ministry.code: ministry.name for ministry in report.ministries},
            families=words.FAMILY_NAMES,
            cap_words=words.CAP_WORDS,
            exemption_words=words.exemption,
            letter_of=letter_of,
            arc=_arc,
            because=because,
        )
        self.environment.filters.update(
            local=self._local,
            day=self._day,
            points=words.points,
            coverage=words.coverage,
            interval=words.interval,
            plural=words.plural,
            evidence=terminal,
            see=self._see,
            settings=_settings,
            lines=_lines,
            prose=_prose,
        )

    def pages(self) -> list[Page]:
        """The home page first; then ministries, what was not seen, assets, controls, the method."""
        ministries = [self._ministry(ministry) for ministry in self.report.ministries]
        assets = [self._asset(ministry, asset) for ministry in self.report.ministries for asset in ministry.assets]
        controls = [self._control(self.report.controls[name]) for name in self.report.controls]
        start = [] if self._is_one_ministry() else [self._overview()]
        method = Page("method", "How this is measured", "method.html.j2", {"pillars": PILLARS})
        return [*start, *ministries, self._unseen(), *assets, *controls, method]

    def document(self, title: str, body: Sequence[Page]) -> str:
        """A whole HTML document around one page, or around all of them."""
        style = _style()
        parts = [
            (page, Markup(self.environment.get_template(page.template).render(page=page, **page.context)))  # noqa: S704 - made by autoescaped templates
            for page in body
        ]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        csp = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        template = self.environment.get_template("base.html.j2")
        return template.render(title=title, parts=parts, style=Markup(style), csp=Markup(csp)) + "\n"  # noqa: S704 - ours

    def _is_one_ministry(self) -> bool:
        return self.report.is_narrowed and len(self.report.ministries) == 1

    def _ministry_id(self, code: str) -> str:
        return HOME if self._is_one_ministry() else slug("ministry", code)

    def _event_asset(self, event: Row) -> AssetKey:
        """A drift event names its asset without the kind: the one that has this control, else any of that name."""
        name = event["asset"]
        judged = [AssetKey(name, row["kind"]) for row in self.by_control[event["control"]] if row["asset"] == name]
        return next(iter([*judged, *sorted(key for key in self.known if key.name == name)]), AssetKey(name, ""))

    def _see(self, row: Row) -> str:
        """The shell line that shows an open finding, or "" where there is none."""
        control = self.report.controls.get(row["control"])
        if control is None or row["outcome"] not in ("warn", "fail"):
            return ""
        return line_of(control.mending, *_place(row))

    def _url(self, page_id: str) -> str:
        return f"#{page_id}" if self.single else f"{page_id}.html"

    def _overview(self) -> Page:
        rows = self.report.findings
        return Page(
            HOME,
            f"Cyber posture of {self.report.state_name}",
            "state.html.j2",
            {
                "score": self.report.state_score,
                "before": self.report.state_before,
                "steps": five_things(rows, self.report.criticality),
                "counts": {
                    ministry.code: _open_counts(self.findings[ministry.code]) for ministry in self.report.ministries
                },
                "worse": _events(self.report.events, WORSE),
                "better": _events(self.report.events, BETTER),
                "providers": _providers(rows),
            },
        )

    def _ministry(self, ministry: MinistryReport) -> Page:
        rows = self.findings[ministry.code]
        events = [event for event in self.report.events if event["ministry"] == ministry.code]
        to_mend = _to_mend(rows, self.report.controls)
        return Page(
            self._ministry_id(ministry.code),
            ministry.name,
            "ministry.html.j2",
            {
                "ministry": ministry,
                "score": ministry.score,
                "before": ministry.before,
                "caps": _binding(ministry.score),
                "chart": chart(self.report.trends.get(ministry.code, ())),
                "steps": five_things(rows, self.report.criticality),
                "own": [item for item in to_mend if item.provider is None],
                "provided": [item for item in to_mend if item.provider is not None],
                "worse": _events(events, WORSE),
                "better": _events(events, BETTER),
                "other": [event for event in events if _is_other(event)],
                "exemptions": [one for one in self.report.exemptions if one["ministry"] == ministry.code],
                "unseen": unseen(rows),
                "refused": refused(rows),
                "open_by_asset": {asset.key: _open_counts(self.by_asset[asset.key]) for asset in ministry.assets},
                "unknown_by_asset": {
                    asset.key: sum(row["outcome"] == "unknown" for row in self.by_asset[asset.key])
                    for asset in ministry.assets
                },
            },
        )

    def _asset(self, ministry: MinistryReport, asset: AssetEntry) -> Page:
        rows = self.by_asset[asset.key]
        order = {"fail": 0, "warn": 1, "unknown": 2, "pass": 3, "info": 4, "not_applicable": 5}
        ranked = sorted(rows, key=lambda row: (order[row["outcome"]], -Severity(row["severity"]).rank, row["control"]))
        context = {"ministry": ministry, "asset": asset, "rows": ranked, "counts": _open_counts(rows)}
        return Page(asset_slug(asset.key), asset.name, "asset.html.j2", context)

    def _control(self, control: ControlText) -> Page:
        rows = self.by_control[control.id]
        context = {
            "control": control,
            "open_rows": [row for row in rows if Outcome(row["outcome"]).is_open],
            "tally": Counter(row["outcome"] for row in rows),
        }
        return Page(_control_id(control.id), control.title, "control.html.j2", context)

    def _unseen(self) -> Page:
        groups = [
            (ministry, unseen(self.findings[ministry.code]), refused(self.findings[ministry.code]))
            for ministry in self.report.ministries
        ]
        return Page("unseen", "What we could not see, and why", "unseen.html.j2", {"groups": groups})

    def _local(self, text: str | datetime | None) -> str:
        """A time in the State's zone and in UTC: ``23 November 2026, 17:00 (21:00 UTC)``."""
        moment = instant(text)
        if moment is None:
            return words.DASH
        here, utc = moment.astimezone(self.zone), moment.astimezone(UTC)
        far = f"{utc:%H:%M}" if here.date() == utc.date() else f"{utc.day} {utc:%B, %H:%M}"
        return f"{here.day} {here:%B %Y, %H:%M} ({far} UTC)"

    def _day(self, text: str | datetime | None) -> str:
        moment = instant(text)
        if moment is None:
            return words.DASH
        here = moment.astimezone(self.zone)
        return f"{here.day} {here:%b %Y}"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def _control_id(name: str) -> str:
    return slug("control", name)


@cache
def _style() -> str:
    return resources.files("posture.reporters").joinpath("templates/style.css").read_text("utf-8")


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("posture.reporters"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )


def _by(rows: Iterable[Row], key: Any) -> defaultdict[Any, list[Row]]:
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _open_counts(rows: Iterable[Row]) -> dict[str, int]:
    """Severity -> number of open findings, worst first."""
    counts = Counter(row["severity"] for row in rows if Outcome(row["outcome"]).is_open)
    return {str(severity): counts[str(severity)] for severity in SEVERITIES if counts[str(severity)]}


def _is_other(event: Row) -> bool:
    """Neither better nor worse: an answer lost, a rule changed, an asset looked at for the first time."""
    return bool(event.get("initial")) or event["kind"] not in (*WORSE, *BETTER, "persisting")


def _events(events: Iterable[Row], kinds: Sequence[str]) -> list[Row]:
    return sorted(
        (event for event in events if event["kind"] in kinds and not event.get("initial")),
        key=lambda event: -Severity(event["severity"]).rank,
    )


def _binding(score: Score | None) -> list[Cap]:
    """The cap that sets the score, when one is below the raw score."""
    if score is None or score.raw is None:
        return []
    return [cap for cap in score.caps if cap.tenths < score.raw][:1]


def _lines(text: str) -> Markup:
    """Text of ours to be copied, line by line: its line breaks stay."""
    return Markup("\n").join(escape(visible(line, None)) for line in text.split("\n"))


def _place(row: Row) -> tuple[str, str, Mapping[str, Any]]:
    """A finding's asset, subject and arguments, as far as they are plain."""
    return shell_words(row["asset"]), shell_words(row["subject"]), shell_words(row["args"] or {})


def _settings(control: ControlText, rows: Sequence[Row] | None = None) -> Mapping[str, str]:
    """The settings that mend a fault, for the kinds of server that it was found on; for both kinds where that is not told."""
    places = [place_of(*_place(row)) for row in rows or ()]
    kinds = {place.is_mail for place in places if place is not None} or {True, False}
    return control.mending.settings_for(web=False in kinds, mail=True in kinds)


def _to_mend(rows: Iterable[Row], controls: Mapping[str, ControlText]) -> list[ToMend]:
    """Open findings by control and by who must mend them; the worst first."""
    groups: dict[tuple[str, str | None], list[Row]] = defaultdict(list)
    for row in rows:
        if Outcome(row["outcome"]).is_open:
            provider = (row.get("provider") or "a provider") if row.get("mends") == "provider" else None
            groups[row["control"], provider].append(row)
    items = [_item(control, provider, group, controls) for (control, provider), group in groups.items()]
    return sorted(items, key=lambda item: (-item.severity.rank, item.outcome is not Outcome.FAIL, item.id))


def _item(control: str, provider: str | None, group: Sequence[Row], controls: Mapping[str, ControlText]) -> ToMend:
    severity = max((Severity(row["severity"]) for row in group), key=lambda one: one.rank)
    outcome = Outcome.FAIL if any(row["outcome"] == "fail" for row in group) else Outcome.WARN
    return ToMend(controls.get(control), control, severity, outcome, tuple(group), provider)


def _providers(rows: Iterable[Row]) -> dict[str, int]:
    """Provider -> how many open findings are its to mend."""
    counts = Counter(
        row.get("provider") or "a provider"
        for row in rows
        if row.get("mends") == "provider" and Outcome(row["outcome"]).is_open
    )
    return dict(sorted(counts.items()))


def _prose(text: str) -> Markup:
    """A catalogue text: what stands between backticks becomes code, all of it escaped."""
    parts = [escape(visible(part)) for part in text.split("`")]
    if len(parts) % 2 == 0:  # an odd backtick is no mark-up
        return escape(visible(text))
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


def _arc(start: int, end: int, radius: float) -> Mapping[str, str]:
    """Dash pattern and offset of an arc on a circle that starts at twelve o'clock; ends in tenths of a point."""
    around = 2 * math.pi * radius
    length = max(0.0, (end - start) / 1000 * around)
    return {"dash": f"{length:.2f} {around - length:.2f}", "offset": f"{-start / 1000 * around:.2f}"}
