"""The format, as its documentation says it; checked with nothing but json, hashlib and ssh-keygen's words."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from posture.audit.records import (
    START,
    ZEROS,
    Head,
    decision_fields,
    is_record,
    kind_of,
    moment,
    one_spelling,
    stamp,
    written,
)
from posture.keys import PublicKey
from posture.net.governor import Traffic
from tests.audit import RUN, Desk, decision
from tests.net.desk import AT

FIELDS = [
    "seq", "at", "kind", "run", "allowed", "code", "authorisation", "via", "ministry", "asset", "probe", "class",
    "traffic", "name", "address", "port", "protocol", "connections", "hash",
]  # fmt: skip


def test_a_decision_is_one_line_of_ascii_with_its_keys_in_order(desk: Desk) -> None:
    with desk.scan() as trail:
        desk.ask(trail)
    line = desk.lines[2]

    assert line.isascii()
    assert line.endswith(b'"}\n')
    assert b" " not in line
    assert list(json.loads(line)) == FIELDS
    assert json.loads(line) == {
        "seq": 3, "at": "2026-11-24T12:00:01.000Z", "kind": "decision", "run": RUN, "allowed": True, "code": None,
        "authorisation": "lc-2026-001", "via": "networks", "ministry": "finance", "asset": "www.finance.gov.example",
        "probe": "test", "class": "client", "traffic": "connection", "name": "www.finance.gov.example",
        "address": "198.51.100.7", "port": 443, "protocol": "tcp", "connections": 1, "hash": json.loads(line)["hash"],
    }  # fmt: skip


def test_a_refusal_has_its_code_and_no_grant() -> None:
    said = decision_fields(RUN, decision(allowed=False))

    assert (said["allowed"], said["code"], said["via"]) == (False, "E-SCOPE-020", None)
    assert said["authorisation"] == "lc-2026-001"


def test_the_chain_is_what_the_documentation_says(desk: Desk) -> None:
    with desk.scan() as trail:
        desk.ask(trail, 3)
    before = ZEROS
    for number, line in enumerate(desk.lines, 1):
        body, _, rest = line.rpartition(b',"hash":"')
        assert rest == hashlib.sha256(before.encode() + body).hexdigest().encode() + b'"}\n'
        before = rest[:64].decode()
        assert json.loads(line)["seq"] == number


def test_a_checkpoint_is_signed_as_the_documentation_says(desk: Desk) -> None:
    with desk.scan() as trail:
        desk.ask(trail)
    *_, last, checkpoint = desk.records
    key = Ed25519PublicKey.from_public_bytes(PublicKey.parse(checkpoint["key"]).raw)
    message = f"posture-trail/1\n{last['seq']}\n{last['hash']}\n{checkpoint['at']}\n".encode()

    key.verify(base64.b64decode(checkpoint["signature"]), message)
    assert (checkpoint["records"], checkpoint["head"]) == (last["seq"], last["hash"])
    assert PublicKey.parse(checkpoint["key"]) == desk.key.public


TEXT = st.text(st.characters(), max_size=500)


@given(name=TEXT, address=TEXT, kind=st.sampled_from(["decision", "close", "torn"]))
def test_whatever_a_host_calls_itself_the_line_stays_one_and_true(name: str, address: str, kind: str) -> None:
    fields = decision_fields(RUN, decision(name=name, address=address))
    line, head = written(START, stamp(AT), kind, fields)

    assert line.count(b"\n") == 1
    assert line.isascii()
    assert re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", line) is None
    assert is_record(line)
    assert kind_of(line) == kind
    assert head == Head(1, json.loads(line)["hash"])
    assert len(line) < 8000


def test_no_text_can_pass_for_a_key_of_its_record() -> None:
    sly = '","kind":"checkpoint","allowed":true,"of":7,"hash":"'
    line = written(START, stamp(AT), "decision", decision_fields(RUN, decision(allowed=False, name=sly))).line

    assert b'"kind":"checkpoint"' not in line
    assert b'"allowed":true' not in line
    assert b'"of":7' not in line


@pytest.mark.parametrize(
    ("given_", "written_"),
    [
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("198.51.100.7", "198.51.100.7"),
        ("no address", "no address"),
        ("x" * 999, "x" * 400 + "..."),
    ],
)
def test_addresses_have_one_spelling(given_: str, written_: str) -> None:
    assert one_spelling(given_) == written_


def test_times_are_utc_with_milliseconds_and_sort_as_text() -> None:
    local = (AT + timedelta(milliseconds=7)).astimezone(timezone(timedelta(hours=-4)))

    assert stamp(local) == "2026-11-24T12:00:00.007Z"
    assert moment(stamp(local)) == local
    assert stamp(AT) < stamp(local)


def test_a_childs_record_holds_its_budget() -> None:
    said = decision_fields(RUN, decision(traffic=Traffic.CONNECTION, connections=28))

    assert said["connections"] == 28
