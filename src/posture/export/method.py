"""How to read an export, in words: the workbook's last sheet, and the README of a bundle."""

from __future__ import annotations

from collections.abc import Iterator

from posture.export.span import Span


def method(span: Span) -> Iterator[tuple[str, str]]:
    """(subject, what to know of it)."""
    zone = span.zone.key
    yield (
        "What this is",
        (
            "The recorded history of the named ministries' own systems, over the days of the range. Nothing in it was measured "
            "for this file; it was read out of the history as it stood."
        ),
    )
    yield "Times", f"Dates and times are those of {zone}. In the CSV and JSON forms they are UTC (RFC 3339)."
    yield (
        "Nights",
        (
            "One row a scan, and one for each day on which none ended. done: the whole inventory was asked. partly: only a part "
            "of it, the cause says why. missed: nothing was learnt. A day without a scan is not a day without faults."
        ),
    )
    yield (
        "Coverage",
        (
            "assets are those in the inventory at that time; asked are those of which the scan asked anything; of these, some "
            "answered every question, some answered in part, some were silent. Only what answered was judged."
        ),
    )
    yield (
        "Unknown",
        (
            "What could not be seen is unknown: it is neither a pass nor a fail, it stands in no row of the sheet findings, and "
            "it never mends a finding. The last known answer stays until another answer replaces it; the column reasons of the "
            "sheet nights counts what is missing and why (timeout, reset, blackout, not_granted, ...)."
        ),
    )
    yield (
        "Findings",
        (
            "One row for each state in which a finding was, as it was known when the range ended. It began in the run named "
            "under 'from'; 'last seen' is the last run that got the same answer; 'until' is the first run that got another one. "
            "A fault was therefore mended at some time between 'last seen' and 'until', and not exactly at either. An empty "
            "'until' means that it still held when the range ended."
        ),
    )
    yield (
        "Outcomes",
        (
            "pass: the control is met. warn: met in part, or not for long. fail: not met. info: for information. not_applicable: "
            "the control has nothing to look at here. Passes and fails rest on positive evidence, never on silence."
        ),
    )
    yield (
        "Causes",
        (
            "Why a state began or ended. first: the first answer ever. target: the system itself changed. policy: the same "
            "evidence, judged by another policy or on another day. tool: judged by new rules of the program. scope: it entered "
            "or left the inventory, the DNS or the ministry."
        ),
    )
    yield (
        "Drift",
        (
            "Each change as it was noted when its scan ended. initial: seen at the first scan of that system. suspect: so much "
            "changed at once that the scanner itself may have been at fault. policy_changed and tool_changed are changes of the "
            "judge and not of the system."
        ),
    )
    yield (
        "Rule changes",
        (
            "When the judge changed between two runs, and in how many findings that alone shows. 'judged again' is a history "
            "that was judged by another policy or other rules afterwards (posture rejudge): before is what the run was told, "
            "after is the other judgement of the very same evidence, as of that run. worse and better count the verdicts "
            "with more or less to mend; the others are told otherwise, or only one of the two has a verdict. None of it is "
            "a change of a system, and none of it is a ministry's doing."
        ),
    )
    yield (
        "Authorisations",
        (
            "The letters that the scans went under, by the SHA-256 of their text and by who signed it. What the letter says is "
            "given where the inventory still holds that very text."
        ),
    )
    yield "Exemptions", "A finding that is exempted keeps its true outcome; the exemption stands beside it."
    yield "What is no longer here", _pruned(span)
    yield (
        "Text",
        (
            "Some text was written by the systems that were scanned. It is shown so that nothing in it acts: a cell that would "
            "be a formula has ' in front, invisible characters are written out as \\u{...}."
        ),
    )
    yield (
        "How to verify",
        (
            "This workbook is a view and is not signed. What is signed are the records: ask for an export with proof "
            "(posture export --proof --out FILE.zip), and check it with 'posture verify FILE.zip --key FINGERPRINT', on any "
            "machine, without the database and without the network. Get the fingerprint from the operator by another way."
        ),
    )


def dropped(span: Span) -> tuple[int, str | None, str | None]:
    """Answers of the range whose evidence is kept no longer: how many, and the first and last time of one."""
    tenures, count = span.of_asset(), 0
    first: str | None = None
    last: str | None = None
    for asset, vantage, since, until, at in span.store.connection.execute(
        "SELECT asset_id, value, from_run, to_run, at FROM facts JOIN blob ON blob.id = blob_id "
        "JOIN text_value ON text_value.id = vantage_id WHERE length(data) = 0"
    ):
        window = span.windows.get(vantage)
        in_range = window is not None and since <= window[1] and (until is None or until >= window[0])
        if in_range and any(one.holds_at(since) for one in tenures.get(asset, ())):
            count += 1
            first, last = min(first or at, at), max(last or at, at)
    return count, first, last


def _pruned(span: Span) -> str:
    count, first, last = dropped(span)
    rest = "Findings, scores, coverage and the ledger are never dropped."
    if not count:
        return f"Nothing of this range: the evidence behind every finding is still in the history. {rest}"
    return (
        f"The evidence of {count} answers, seen between {first} and {last}, is past its time and was dropped (posture db "
        "prune). Their SHA-256 stands, so that evidence kept elsewhere can be compared; they cannot be shown in full any "
        f"more, nor be judged again by another policy. {rest}"
    )


def readme(span: Span, *, proof: bool, label: str) -> str:
    """README.txt of a bundle."""
    names = ", ".join(f"{name} ({code})" for code, name in span.ministries.items())
    checked = (
        "TO VERIFY (any machine with posture; no database, no network)\n"
        "  posture verify THIS.zip --key FINGERPRINT\n"
        "  Get the fingerprint of the operator's key by another way than this file: by telephone, from a letter, from the\n"
        "  foot of an older scorecard. Without --key the file is only shown to be consistent in itself.\n"
        "  'verify' names the record that was changed, left out or put in. The records begin with the first run of the\n"
        "  history, also before the range, so that what held when the range began is proved too.\n"
        "  By hand: each line of records.jsonl is one record; proof.json holds the SHA-256 of each, the path from them to\n"
        "  the ledger (RFC 6962), and checkpoint.txt the ledger's signed head (C2SP tlog-checkpoint, Ed25519).\n"
        if proof
        else "TO VERIFY\n  This export carries no proof. Ask for one made with: posture export --proof --out FILE.zip\n"
    )
    members = [
        ("history.xlsx", "to read: summary, nights, findings, drift, letters, exemptions, rules, method"),
        ("records.jsonl", "the same history as records, one JSON object a line ('posture schema export')"),
    ]
    if proof:
        members += [
            ("proof.json", "binds every record to the ledger"),
            ("checkpoint.txt", "the signed head of the ledger"),
            ("key.pub", "the public key that signed it"),
        ]
    listed = "".join(f"  {name:<15} {about}\n" for name, about in members)
    return (
        f"{label}\n\nHISTORY FOR AUDITORS, {span.first_day} to {span.last_day} ({span.zone.key})\n"
        f"{span.state}: {names}\n{len(span.runs)} runs, {span.runs[0].id} to {span.runs[-1].id}\n\n"
        f"FILES\n{listed}\n{checked}\nHOW TO READ IT\n"
        + "".join(f"  {subject}: {text}\n" for subject, text in method(span))
    )
