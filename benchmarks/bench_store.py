"""Reading a large history: ``posture findings`` and ``posture drift`` on a database of two runs over 5,000 assets.

The history is synthetic: the shipped catalogue judges three web servers (good, with TLS 1.0, silent) and every asset gets
the answers and findings of one of them; one in ten accepts TLS 1.0, one in twenty is silent, and both move on by some
assets between the runs, so that drift has something to say. Building it (recording and folding two runs) is measured once,
in this process. Then the two commands run as processes of their own, in turns, 3 times: CPU (user + system), wall and peak
resident set, medians. Another number of assets: ``bench_store.py N``.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from measure import console_script, cost_of_call, interleaved, median, run, say
from year import SOUND_LEGACY, SOUND_TLS

from posture.checks import Declared, Reference
from posture.facts import HttpFacts, PortsFacts, SecurityTxtFacts, TlsFacts, TlsLegacyFacts
from posture.facts.http import Hop
from posture.facts.service import PortAnswer
from posture.facts.tls import VersionAnswer
from posture.judge import Docket, judge
from posture.model import Answer, AssetKey, Finding, Observed, Reason, Unobserved, endpoint
from posture.policy import DEFAULT, load_policy
from posture.probes.matrix import SWEEP_PORTS
from posture.range.certificates import Authority
from posture.store import AssetEntry, RunStart, Store

ASSETS = 5000
ROUNDS = 3
START = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
ADDRESS = "198.51.100.7"  # all live at one provider
NAME = "www.finance.gov.example"
HTTP, HTTPS = endpoint(ADDRESS, 80), endpoint(ADDRESS, 443)
MODERN = ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
AUTHORITY = Authority(START)
REFERENCE = Reference(AUTHORITY.root_pem, hashlib.sha256(AUTHORITY.root_pem).hexdigest(), private_roots=True)
POLICY = load_policy(DEFAULT)

Answers = Mapping[tuple[str, str], Answer]


def entry(number: int) -> AssetEntry:
    return AssetEntry("finance", Declared(f"www{number}.finance.gov.example", "host", roles=("web",)))


def server(at: datetime, chain: tuple[bytes, ...], *, old: bool) -> Answers:
    """What a web server answers; ``old``: it accepts TLS 1.0 too."""
    accepted = ("TLS 1.2", "TLS 1.3", *(("TLS 1.0",) if old else ()))
    versions = tuple(
        VersionAnswer(name, "accepted", suites=MODERN, complete=True)
        if name in accepted
        else VersionAnswer(name, "refused", "protocol_version")
        for name in ("TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3")
    )
    refused = tuple(VersionAnswer(name, "refused", "handshake_failure") for name in ("SSL 2.0", "SSL 3.0", "TLS 1.2"))
    plain = Hop(f"http://{NAME}/", 301, (("location", f"https://{NAME}/"),))
    secure = Hop(f"https://{NAME}/", 200, (("strict-transport-security", "max-age=31536000"),))
    ports = tuple(PortAnswer(port, "open" if port in (80, 443) else "closed") for port in SWEEP_PORTS)
    facts = {
        HTTPS: (
            TlsFacts(NAME, "", versions, chain, traits=SOUND_TLS),
            TlsLegacyFacts(NAME, "", refused, traits=SOUND_LEGACY),
            HttpFacts("https", (secure,), "final", "trusted"),
        ),
        HTTP: (HttpFacts("http", (plain, secure), "final", "trusted"),),
        "": (SecurityTxtFacts("", 404),),
        ADDRESS: (PortsFacts(ADDRESS, ports, alive=True),),
    }
    return {(one.TYPE, subject): Observed(one, at) for subject, several in facts.items() for one in several}


def silent(answers: Answers, at: datetime) -> Answers:
    return {question: Unobserved(Reason.TIMEOUT, at, "no answer") for question in answers}


def judged(answers: Answers, at: datetime) -> tuple[Finding, ...]:
    declared = Declared(NAME, "host", roles=("web",), ports=((80, "tcp"), (443, "tcp")))
    return judge(Docket("finance", declared, answers), POLICY, at, reference=REFERENCE)


def kind_of(number: int, day: int) -> int:
    """0 good, 1 old, 2 silent; some assets move on every day."""
    if (number + day) % 20 == 7:
        return 2
    return int((number + 3 * day) % 10 == 0)


def build(path: Path, assets: int, chain: tuple[bytes, ...]) -> int:
    """Two runs, a day apart; the number of findings of the second."""
    entries = tuple(entry(number) for number in range(assets))
    found = 0
    for day in range(2):
        at = START + timedelta(days=day)
        good, old = server(at, chain, old=False), server(at, chain, old=True)
        kinds = [(answers, judged(answers, at)) for answers in (good, old, silent(good, at))]
        chosen = [(one.key, *kinds[kind_of(number, day)]) for number, one in enumerate(entries)]
        findings = [replace(finding, asset=key) for key, _, those in chosen for finding in those]
        found = len(findings)
        with Store.open(path, write=True) as store:
            opened = store.begin(start(at, entries, [(key, *q) for key, answers, _ in chosen for q in answers]))
            opened.settle_all(
                ((key, *question), answer, "lc-2026-001")
                for key, answers, _ in chosen
                for question, answer in answers.items()
            )
            opened.close(findings, "complete", at + timedelta(minutes=30))
    return found


def start(at: datetime, entries: tuple[AssetEntry, ...], planned: list[tuple[AssetKey, str, str]]) -> RunStart:
    return RunStart(
        started_at=at,
        state="LC",
        timezone="America/St_Lucia",
        tool="posture bench",
        policy=POLICY,
        controls=POLICY.controls,
        inventory_digest="aa",
        authorisation_digest="bb",
        ministries={"finance": "Ministry of Finance"},
        assets=entries,
        planned=tuple(planned),
        reference=REFERENCE,
    )


def chain_of(pem: bytes) -> tuple[bytes, ...]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return tuple(one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(pem))


def main(assets: int = ASSETS) -> int:
    print(f"bench_store: {assets} assets, two runs; medians of {ROUNDS} interleaved runs of each command")
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "posture.db"
        chain = chain_of(AUTHORITY.issue(NAME).chain)
        counts: list[int] = []
        built = cost_of_call(lambda: counts.append(build(path, assets, chain)))
        say("findings of one run", f"{counts[0]}")
        say("recording and folding two runs, CPU", f"{built.cpu:.1f} s")
        say("size of the database", f"{path.stat().st_size / 1e6:.1f} MB")
        commands = [
            [console_script("posture"), name, "--format", "json", "--db", str(path)] for name in ("findings", "drift")
        ]
        for command, costs in zip(commands, interleaved([partial(run, one) for one in commands], ROUNDS), strict=True):
            for cost in costs:
                if cost.code:
                    sys.exit(f"{command} ended with {cost.code}: {cost.output[-1000:]}")
            name = f"posture {command[1]}"
            rows = json.loads(costs[0].output)["findings" if command[1] == "findings" else "events"]
            say(f"{name}, rows", f"{len(rows)}")
            say(f"{name}, CPU", f"{median(cost.cpu for cost in costs):.1f} s")
            say(f"{name}, wall", f"{median(cost.wall for cost in costs):.1f} s")
            say(f"{name}, peak resident set", f"{median(cost.peak for cost in costs):.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ASSETS))
