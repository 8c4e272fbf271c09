"""Who signed an authorisation: the text that is signed, whose keys count, how many are needed, which letter is newest."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.errors import InventoryError
from posture.inventory import load_inventory
from posture.inventory.reading import Fault
from posture.inventory.records import Authorisation, Blackout, Limits, SignatureFile, State, ThirdParty
from posture.inventory.statement import statement
from posture.model import ProbeClass
from posture.signatures import NAMESPACE, Authority, Seen, Signer, authority, lacking, parse_signer, superseded
from tests.inventory.documents import AT, GOOD, load, only_problem, write
from tests.test_sshsig import KINDS, make_key, public, sign

STATE = State("LC", "Saint Lucia", "America/St_Lucia")
LETTER = Authorisation(
    id="lc-2026-001",
    owner="Ministry of Finance",
    officer="Permanent Secretary",
    basis="consent",
    reference='Letter "41" \\ Région',
    not_before=date(2026, 1, 1),
    not_after=date(2026, 12, 31),
    classes=frozenset({ProbeClass.PASSIVE, ProbeClass.CLIENT}),
    zones=("tax.gov.example", "finance.gov.example"),
    exclude=("hr.finance.gov.example",),
    networks=(ip_network("198.51.100.0/24"), ip_network("2001:db8:40::/48")),
    hosted_classes=frozenset({ProbeClass.CLIENT}),
    ports=((443, 443, ""), (1, 1024, "tcp")),
    document_sha256="ab" * 32,
    limits=Limits(connections=50),
    third_parties=(ThirdParty("CloudCo", (ip_network("192.0.2.0/28"),), frozenset({ProbeClass.CLIENT}), "t-1"),),
    blackouts=(Blackout("Sun 22:00-24:00", frozenset({6}), 1320, 1440, frozenset({ProbeClass.ACTIVE})),),
    sequence=3,
)
# Officers have signed this: when it must change, so must its first line.
TEXT = """\
posture-authorisation/1
id: "lc-2026-001"
sequence: 3
state: "LC"
timezone: "America/St_Lucia"
owner: "Ministry of Finance"
officer: "Permanent Secretary"
basis: "consent"
reference: "Letter \\"41\\" \\\\ Région"
document_sha256: "abababababababababababababababababababababababababababababababab"
not_before: 2026-01-01
not_after: 2026-12-31
classes: ["client", "passive"]
zone: "finance.gov.example"
zone: "tax.gov.example"
exclude: "hr.finance.gov.example"
network: "198.51.100.0/24"
network: "2001:db8:40::/48"
hosted_classes: ["client"]
port: "1-1024/tcp"
port: "443"
lab: false
limit connections_per_address: 2
limit new_connections_per_second: 10
limit new_connections_burst: 20
limit sweep_pending: 20
limit sweep_per_second: 50
limit prefix_per_second: 100
limit prefix_burst: 200
limit dns_per_second: 20
limit dns_burst: 40
limit smtp_per_minute: 6
limit smtp_per_hour: 20
limit connections: 50
third_party: {"party": "CloudCo", "networks": ["192.0.2.0/28"], "classes": ["client"], "reference": "t-1"}
blackout: {"days": "Sun", "hours": "22:00-24:00", "classes": ["active"]}
"""


# ---- the text


def test_the_text_is_fixed_to_the_last_byte() -> None:
    assert statement(LETTER, STATE).decode() == TEXT


CHANGES = {
    "id": "x",
    "sequence": 4,
    "owner": "x",
    "officer": "x",
    "basis": "statute",
    "reference": "x",
    "document_sha256": "",
    "not_before": date(2026, 1, 2),
    "not_after": date(2027, 1, 1),
    "classes": frozenset({ProbeClass.PASSIVE}),
    "zones": ("finance.gov.example",),
    "exclude": (),
    "networks": (ip_network("198.51.100.0/25"),),
    "hosted_classes": frozenset(),
    "ports": ((1, 1024, ""), (443, 443, "")),
    "lab": True,
    "limits": Limits(connections=51),
    "third_parties": (),
    "blackouts": (),
}
NO_EFFECT = {"document", "emergency", "signatures"}


def test_everything_that_has_an_effect_changes_the_text() -> None:
    assert set(CHANGES) | NO_EFFECT == set(Authorisation.__slots__)
    texts = {statement(replace(LETTER, **{name: value}), STATE) for name, value in CHANGES.items()}  # type: ignore[arg-type]

    assert len(texts | {statement(LETTER, STATE)}) == len(CHANGES) + 1
    for name in Limits.names():
        assert statement(replace(LETTER, limits=replace(LETTER.limits, **{name: 1})), STATE).decode() != TEXT
    for state in (replace(STATE, code="DM"), replace(STATE, timezone="UTC")):
        assert statement(LETTER, state).decode() != TEXT


def test_order_and_repetition_in_the_file_mean_nothing() -> None:
    shuffled = replace(
        LETTER, zones=(*LETTER.zones[::-1], LETTER.zones[0]), networks=LETTER.networks[::-1], ports=LETTER.ports[::-1]
    )

    assert statement(shuffled, STATE).decode() == TEXT


@given(st.text(), st.text())
def test_no_value_can_look_like_another_line(owner: str, party: str) -> None:
    third = ThirdParty(party, (), frozenset(), owner)
    text = statement(replace(LETTER, owner=owner, third_parties=(third,)), STATE).decode()
    lines = text.split("\n")

    assert len(text.splitlines()) == len(lines) - 1 == len(TEXT.splitlines())
    assert [line.partition(":")[0] for line in lines] == [line.partition(":")[0] for line in TEXT.split("\n")]
    assert json.loads(lines[5].partition(": ")[2]) == owner
    assert json.loads(lines[-3].partition(": ")[2])["reference"] == owner
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", text)


# ---- reading


def signed(text: str = GOOD, *lines: str) -> str:
    return text.replace("owner =", "\n".join([*lines, "owner ="]))


def test_sequence_and_signatures_are_read_relative_to_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "sigs").mkdir()
    (tmp_path / "sigs" / "ps.sig").write_bytes(b"any bytes")
    inventory, _ = load(tmp_path, signed(GOOD, "sequence = 3", 'signatures = ["sigs/ps.sig"]'))
    [found] = inventory.authorisations.values()

    assert (found.sequence, found.signatures) == (3, (SignatureFile("sigs/ps.sig", b"any bytes"),))
    [plain] = load(tmp_path)[0].authorisations.values()
    assert (plain.sequence, plain.signatures) == (0, ())


def test_a_missing_signature_is_an_error_with_its_place_and_the_next_step(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, signed(GOOD, 'signatures = [\n"none.sig"]'))

    assert (problem.code, problem.line) == ("INV-031", GOOD.split("owner =")[0].count("\n") + 2)
    assert "signatures" in problem.field
    assert "none.sig' cannot be read: No such file" in problem.message
    assert "posture inventory statement ID --out FILE" in problem.next


@pytest.mark.parametrize("line", ["sequence = -1", 'sequence = "3"', "sequence = true", 'signatures = "a.sig"'])
def test_a_bad_sequence_or_list_is_an_error(tmp_path: Path, line: str) -> None:
    write(tmp_path, signed(GOOD, line))

    with pytest.raises(InventoryError, match=line.partition(" ")[0]):
        load_inventory(tmp_path / "inventory.toml", at=AT)


# ---- whose signatures count


def signer(folder: Path, name: str) -> tuple[Path, Signer]:
    key = make_key(folder, *KINDS["ed25519"], name=name)
    return key, Signer(name, public(key))


def letter(*signatures: bytes, **changes: object) -> Authorisation:
    files = tuple(SignatureFile(f"{number}.sig", each) for number, each in enumerate(signatures))
    return replace(LETTER, signatures=files, **changes)  # type: ignore[arg-type]


def test_a_signature_over_the_text_counts_and_over_anything_else_does_not(tmp_path: Path) -> None:
    (ps, one), (_, two), (stranger, _) = (signer(tmp_path, name) for name in ("ps-finance", "cert", "stranger"))
    good, wrong = sign(ps, TEXT.encode()), sign(stranger, TEXT.encode())

    assert authority(letter(good), STATE, (one, two)).signers == ("ps-finance",)
    assert authority(letter(), STATE, (one, two)).signers == ()
    for number, (changed, why) in enumerate(
        [
            (letter(good, sequence=4), "it is by ps-finance's key, but it does not match the text"),
            (letter(wrong), "it is by the unknown key SHA256:"),
            (letter(b"scribble"), "it is not what ssh-keygen -Y sign writes"),
            (letter(sign(ps, TEXT.encode(), namespace="file")), f"made for 'file', not with -n {NAMESPACE}"),
        ]
    ):
        found = authority(changed, STATE, (one, two))
        [fault] = found.faults
        assert (found.signers, why in fault) == ((), True), number
        assert fault.startswith("lc-2026-001: the signature 0.sig does not count: ")


def test_only_distinct_people_count(tmp_path: Path) -> None:
    keys = [signer(tmp_path, name) for name in ("ps", "cert", "spare")]
    (ps, one), (cert, two), (spare, three) = keys
    trusted = (one, two, replace(three, name="ps"))
    by = {key: sign(key, TEXT.encode()) for key in (ps, cert, spare)}

    assert authority(letter(by[ps], by[ps]), STATE, trusted).signers == ("ps",)
    assert authority(letter(by[ps], by[spare]), STATE, trusted).signers == ("ps",)
    assert authority(letter(by[spare], by[cert]), STATE, trusted).signers == ("cert", "ps")


def test_too_few_signatures_are_told_with_who_is_missing(tmp_path: Path) -> None:
    (ps, one), (_, two) = (signer(tmp_path, name) for name in ("ps-finance", "cert-head"))
    found = authority(letter(sign(ps, TEXT.encode()), b"X"), STATE, (one, two))

    assert lacking(found, (one, two), 1) == ""
    text = lacking(found, (one, two), 2)
    assert text.startswith("lc-2026-001: 1 of 2 required signatures verify (missing: cert-head). Nothing was sent.")
    assert "Signature 1.sig does not count" in text
    assert text.endswith("Have the text of 'posture inventory statement lc-2026-001' signed.")
    assert "0 of 1 required signature verifies (missing: trusted_signers of posture.toml names nobody else)" in lacking(
        authority(letter(), STATE, ()), (), 1
    )


def test_a_trusted_signer_is_a_name_and_a_line_of_a_pub_file(tmp_path: Path) -> None:
    key = make_key(tmp_path, *KINDS["rsa-2048"])
    line = key.with_suffix(".pub").read_text().strip()

    assert parse_signer(f"ps-finance {line}") == Signer("ps-finance", public(key))
    for text, why in (
        ("", "no usable name"),
        (line, "no usable key"),
        ("ps", "no usable key"),
        (f"p!s {line}", "name"),
    ):
        with pytest.raises(Fault) as caught:
            parse_signer(text)
        assert why in caught.value.message


# ---- sequence

AT_FIRST = datetime(2026, 5, 2, 9, tzinfo=UTC)


def test_a_sequence_never_goes_back() -> None:
    now = Authority("a", 2, "11")

    assert superseded(now, {}) == superseded(now, {"a": Seen(1, AT_FIRST)}) == ""
    assert superseded(now, {"a": Seen(2, AT_FIRST)}) == superseded(now, {"b": Seen(9, AT_FIRST)}) == ""
    text = superseded(now, {"a": Seen(3, AT_FIRST)})
    assert text.startswith("a: sequence 2 was superseded by 3 on 2026-05-02.")
    assert text.endswith("higher sequence.")


def test_two_signed_texts_cannot_share_a_sequence() -> None:
    seen = {"a": Seen(2, AT_FIRST, frozenset({"11"}))}

    assert superseded(Authority("a", 2, "11", ("ps",)), seen) == ""
    assert superseded(Authority("a", 2, "22"), seen) == ""
    assert "Write sequence = 3" in superseded(Authority("a", 2, "22", ("ps",)), seen)
    assert superseded(Authority("a", 2, "22", ("ps",)), {"a": Seen(2, AT_FIRST)}) == ""
