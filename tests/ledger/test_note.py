"""Checkpoints as signed notes."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.keys import OperatorKey, PublicKey, make_key
from posture.ledger.note import Checkpoint, NoteError, key_id, open_note, sign_note

ROOT = hashlib.sha256(b"root").digest()
CHECKPOINT = Checkpoint("posture/lc/00112233", 365, ROOT)


@pytest.fixture
def key(tmp_path: Path) -> OperatorKey:
    return make_key(tmp_path / "key")


def test_the_note_of_the_specification_is_read_and_verifies() -> None:
    """The example of C2SP signed-note, whose key stands there too."""
    text = (
        "This is an example message.\n\n"
        "\u2014 example.com/foo 530d903cjzeIAE+wdEsLHaSW6Dm2YEbBbPzXUU3CHzpMcRZfKVOSvzXsLsSY6VfUWpSBuEa6ASwXIg=\n"
    )
    with pytest.raises(NoteError, match="three lines"):
        open_note(text)  # a signed note, but of no checkpoint


def test_what_was_signed_is_read_again(key: OperatorKey) -> None:
    text = sign_note(CHECKPOINT, [key])
    lines = text.split("\n")

    assert lines[:4] == ["posture/lc/00112233", "365", base64.b64encode(ROOT).decode(), ""]
    assert lines[4].startswith("\u2014 posture/lc/00112233 ")
    note = open_note(text)
    assert note.checkpoint == CHECKPOINT
    assert note.signed_by(key.public)


def test_the_key_id_is_that_of_the_specification(key: OperatorKey) -> None:
    """SHA-256(name || LF || 0x01 || key)[:4], C2SP signed-note."""
    raw = key.public.raw
    assert key_id("log.test", key.public) == hashlib.sha256(b"log.test\n\x01" + raw).digest()[:4]


def test_a_footer_may_have_been_copied_with_other_line_ends_and_empty_lines(key: OperatorKey) -> None:
    text = sign_note(CHECKPOINT, [key])

    assert open_note("\n\n" + text.replace("\n", "\r\n") + "\r\n\r\n") == open_note(text)


def test_two_keys_sign_when_one_follows_the_other(key: OperatorKey, tmp_path: Path) -> None:
    new = make_key(tmp_path / "new")
    note = open_note(sign_note(CHECKPOINT, [key, new]))

    assert note.signed_by(key.public)
    assert note.signed_by(new.public)
    assert not note.signed_by(make_key(tmp_path / "third").public)


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_changed_line_is_no_longer_signed(line: int, key: OperatorKey) -> None:
    lines = sign_note(CHECKPOINT, [key]).split("\n")
    lines[line] = ["posture/lc/other", "366", base64.b64encode(bytes(32)).decode()][line]

    assert not open_note("\n".join(lines)).signed_by(key.public)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "posture\n1\n",
        "posture\n-1\n" + base64.b64encode(ROOT).decode() + "\n\n\u2014 posture AAAA",
        "posture\n01\n" + base64.b64encode(ROOT).decode() + "\n\n\u2014 posture AAAA",
        "po sture\n1\n" + base64.b64encode(ROOT).decode() + "\n\n\u2014 posture AAAA",
        "posture\n1\nAAAA\n\n\u2014 posture AAAA",
        "posture\n1\n" + base64.b64encode(ROOT).decode() + "\n\n- posture AAAA",
        "posture\n1\n" + base64.b64encode(ROOT).decode() + "\n\n\u2014 posture \u00e9",
        "x" * 20_000,
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(NoteError):
        open_note(text)


@given(st.text(max_size=300))
def test_any_text_is_a_note_or_a_note_error(text: str) -> None:
    try:
        note = open_note(text)
    except NoteError:
        return
    assert not note.signed_by(PublicKey(bytes(32)))


def test_a_signature_of_another_kind_is_passed_over(key: OperatorKey) -> None:
    """A witness signs with a time, 8 bytes more (C2SP tlog-cosignature); it takes nothing from the operator's own."""
    note = sign_note(Checkpoint("gov.example/posture", 3, bytes(32)), [key])
    witness = "\u2014 witness.example " + base64.b64encode(bytes(4 + 8 + 64)).decode() + "\n"
    read = open_note(note + witness)

    assert len(read.signatures) == 1
    assert read.signed_by(key.public)
    assert not open_note(note.rpartition("\u2014")[0] + witness).signed_by(key.public)
