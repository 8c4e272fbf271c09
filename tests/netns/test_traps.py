"""A whole scan over an inventory full of traps sends nothing outside its grants, and nothing that the trail lacks."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from posture.audit.verify import Survey, survey
from posture.range.certificates import self_signed
from tests.netns import traps
from tests.netns.comparing import Comparison, Trail, compare, read_trail
from tests.netns.namespace import Counted, Done, Namespace, namespace, recorded
from tests.netns.packets import Endpoint, Recording, most_open

pytestmark = pytest.mark.xdist_group("namespace of traps")
RESOLVER = {Endpoint(protocol, traps.RESOLVER, 53) for protocol in ("udp", "tcp")}
# Hosts of redirects, as names.
NOT_OURS = {
    *("localhost.", "127.1.", "0.", "2852039166.", "0xa9fea9fe.", "0xa9.0xfe.0xa9.0xfe.", "0251.0376.0251.0376."),
    *("169.254.43518.", "www.elsewhere.example."),
}
ASKED_FAMILIES = ("tls.", "web.", "svc.")


@dataclass(frozen=True)
class Walk:
    """What a plan and then a scan over all traps did. ``seen``: the log of the servers."""

    plan: Done
    planned: Counted
    scan: Done
    counted: Counted
    recording: Recording
    trail: Trail
    survey: Survey
    findings: Sequence[Mapping[str, Any]]
    seen: Sequence[Mapping[str, Any]]

    @property
    def compared(self) -> Comparison:
        return compare(self.recording.sent, self.trail)

    def of(self, asset: str) -> list[Mapping[str, Any]]:
        return [finding for finding in self.findings if finding["asset"] == asset]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("traps")
    furnish(folder)
    with namespace(folder) as inside, inside.process(inside.python("tests.netns.serving", "tests.netns.traps", folder)):
        plan = inside.posture("plan", "inventory.toml", "--resolver", traps.RESOLVER, "--format", "json")
        planned = inside.counted()
        inside.forget()
        with inside.recorder() as packets:
            scan = inside.posture("scan", "inventory.toml", "--resolver", traps.RESOLVER)
            counted = inside.counted()
        yield Walk(
            plan=plan,
            planned=planned,
            scan=scan,
            counted=counted,
            recording=recorded(packets),
            trail=trail_of(folder),
            survey=survey_of(folder),
            findings=findings_of(inside),
            seen=[json.loads(line) for line in (folder / "seen.jsonl").read_text("ascii").splitlines()],
        )


def furnish(folder: Path) -> None:
    now = datetime.now(UTC)
    leaf = self_signed("www.finance.gov.example", now)
    (folder / "server.pem").write_bytes(leaf.chain + leaf.key)
    (folder / "inventory.toml").write_text(traps.inventory(now.date()), "utf-8")


def trail_of(folder: Path) -> Trail:
    return read_trail((folder / "posture.db.audit.jsonl").read_text("ascii").splitlines())


def survey_of(folder: Path) -> Survey:
    with (folder / "posture.db.audit.jsonl").open("rb") as file:
        return survey(file)


def findings_of(inside: Namespace) -> Sequence[Mapping[str, Any]]:
    said = inside.posture("findings", "--outcome", "all", "--format", "json")
    found: Sequence[Mapping[str, Any]] = json.loads(said.out)["findings"]
    return found


def stray(counted: Counted) -> list[str]:
    return [f"{count} x {endpoint}" for endpoint, count in counted.by_endpoint.items() if not traps.permitted(endpoint)]


def test_the_plan_asks_our_resolver_and_nobody_else(walk: Walk) -> None:
    assert walk.plan.code == 0, walk.plan.err
    assert set(walk.planned.by_endpoint) <= RESOLVER
    assert sum(walk.planned.datagrams.values()) > 100


def test_the_scan_comes_to_its_end_and_says_that_an_authorisation_has_ended(walk: Walk) -> None:
    assert walk.scan.code == 3, walk.scan.err
    assert "ended-1" in walk.scan.out


def test_no_packet_leaves_outside_the_grants(walk: Walk) -> None:
    assert stray(walk.counted) == []
    assert walk.counted.totals["other"] == 0
    # It is worth something only if much was sent where it may be.
    assert len(walk.counted.syns) > 150


def test_kernel_and_recording_agree_on_every_packet(walk: Walk) -> None:
    assert walk.recording.dropped == 0
    assert walk.recording.by_endpoint == walk.counted.by_endpoint
    assert not walk.recording.resent
    assert sum(walk.counted.syns.values()) == walk.counted.totals["syn"]
    assert sum(walk.counted.datagrams.values()) == walk.counted.totals["datagram"]


def test_every_packet_has_its_record_and_every_record_its_packet(walk: Walk) -> None:
    compared = walk.compared

    assert compared.uncovered == ()
    assert compared.unused == ()
    assert walk.trail.own == RESOLVER
    assert {allow.traffic for _, allow in compared.matched} >= {"connection", "sweep", "datagram"}
    assert all(allow.end for _, allow in compared.matched)


def test_the_trail_is_whole_and_every_allowed_thing_has_its_closing(walk: Walk) -> None:
    assert (walk.survey.open, walk.survey.tears, walk.survey.loose) == (0, 0, b"")
    assert walk.survey.allowed == len(walk.trail.allows)
    assert walk.survey.refused == len(walk.trail.refusals)
    assert walk.survey.head.seq == walk.survey.signed + 1  # the checkpoint at the end signs all before it


def test_nobody_came_to_a_canary_that_was_not_granted(walk: Walk) -> None:
    canaries = [seen for seen in walk.seen if "canary" in seen]
    caught = [
        seen for seen in canaries if not traps.permitted(Endpoint(seen["protocol"], seen["canary"], seen["port"]))
    ]

    assert caught == []
    # The sweep of granted addresses did meet canaries: they do see.
    assert canaries


def test_what_is_more_than_a_question_is_not_asked_of_a_foreign_name_server(walk: Walk) -> None:
    asked = {seen["axfr"] for seen in walk.seen if "axfr" in seen}
    classes = {allow.probe_class for allow in walk.trail.allows if allow.endpoint.address == traps.FOREIGN_NS}

    assert asked == {traps.FINANCE_NS}
    assert classes == {"passive"}


def test_a_host_of_others_is_looked_at_as_a_client_and_no_more(walk: Walk) -> None:
    for address in (traps.HOSTED, traps.HOSTED_MX, traps.BLACKED, traps.BOXED):
        assert {a.probe_class for a in walk.trail.allows if a.endpoint.address == address} == {"client"}, address


def test_names_that_are_not_ours_are_not_looked_up_for_a_redirect(walk: Walk) -> None:
    asked = {str(seen["question"]).split()[0] for seen in walk.seen if "question" in seen}

    assert "www.finance.gov.example." in asked
    assert asked & NOT_OURS == set()


def test_the_names_that_rebind_did_so(walk: Walk) -> None:
    codes = {finding["code"] for finding in walk.of("rebinding.finance.gov.example")} - {None}

    assert codes == {"E-SCOPE-021"}
    assert any(endpoint.address == traps.REBOUND for endpoint in walk.counted.syns)


@pytest.mark.parametrize("trap", [trap for trap in traps.TRAPS if trap.codes], ids=lambda trap: trap.name)
def test_a_trap_is_unknown_with_its_code(walk: Walk, trap: traps.Trap) -> None:
    findings = walk.of(trap.name)
    codes: dict[str, set[str]] = defaultdict(set)
    for finding in findings:
        codes[str(finding["code"])].add(finding["outcome"])

    assert findings
    assert set(trap.codes) <= set(codes)
    for code in trap.codes:
        assert codes[code] == {"unknown"}
    if trap.untouched:
        outcomes = {each["outcome"] for each in findings if each["control"].startswith(ASKED_FAMILIES)}
        assert outcomes <= {"unknown", "not_applicable"}


@pytest.mark.parametrize("name", traps.REDIRECTING)
def test_a_redirect_that_is_not_followed_is_no_pass(walk: Walk, name: str) -> None:
    redirects = [each for each in walk.of(f"{name}.finance.gov.example") if each["control"] == "tls.https.redirect"]

    assert redirects
    assert "pass" not in {each["outcome"] for each in redirects}


def test_the_connections_of_an_address_stay_within_their_limit(walk: Walk) -> None:
    ordinary = defaultdict(list)
    for sent in walk.compared.under("connection", "child"):
        ordinary[sent.endpoint.address].append(sent)

    assert max(map(most_open, ordinary.values())) <= 2


@pytest.mark.parametrize("name", ["--script=lab", "-oN/tmp/x", "169.254.169.254/24", "0x7f000001", "a.gov.example --x"])
def test_an_inventory_with_a_name_like_an_option_sends_nothing(tmp_path: Path, name: str) -> None:
    furnish(tmp_path)
    with (tmp_path / "inventory.toml").open("a", encoding="utf-8") as file:
        file.write(f"[[ministry.asset]]\nname = {json.dumps(name)}\n")
    with namespace(tmp_path) as inside:
        said = inside.posture("scan", "inventory.toml", "--resolver", traps.RESOLVER)

        assert said.code == 2, said.err
        assert inside.counted().by_endpoint == {}


STRAYS = (Endpoint("tcp", "46.47.0.80", 443), Endpoint("udp", "8.8.8.8", 53), Endpoint("tcp", "45.45.31.80", 443))


def test_the_proof_can_fail(tmp_path: Path) -> None:
    """Packets that the scan did not record are found, the last of them although it goes where the scan goes too."""
    furnish(tmp_path)
    code = "import socket\n" + "".join(
        f"s = socket.socket(socket.AF_INET, socket.SOCK_{'STREAM' if each.protocol == 'tcp' else 'DGRAM'})\n"
        f"s.connect(({each.address!r}, {each.port})); s.send(b'x')\n"
        for each in STRAYS
    )
    chosen = ("--asset", "www.finance.gov.example", "--check", "web")
    with (
        namespace(tmp_path) as inside,
        inside.process(inside.python("tests.netns.serving", "tests.netns.traps", tmp_path)),
        inside.recorder() as packets,
    ):
        scan = inside.posture("scan", "inventory.toml", "--resolver", traps.RESOLVER, *chosen)
        assert inside.run(sys.executable, "-c", code).code == 0
        counted = inside.counted()
    compared = compare(recorded(packets).sent, trail_of(tmp_path))

    assert scan.code in (0, 3), scan.err
    assert compared.matched
    assert sorted(sent.endpoint for sent in compared.uncovered) == sorted(STRAYS)
    assert sorted(stray(counted)) == ["1 x 46.47.0.80:443/tcp", "1 x 8.8.8.8:53/udp"]
