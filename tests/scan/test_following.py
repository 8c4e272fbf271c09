"""What follows from certificates that were seen: which lists are looked at, and who is found to share a key."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from posture.config import load_config
from posture.errors import ConfigurationError
from posture.facts import TlsFacts
from posture.model import Absent, AbsentCause, Answer, AssetKey, Observed, ProbeClass, Reason, Unobserved
from posture.plan import FOLLOWS
from posture.scan.following import Following, follow_up
from posture.scan.shelf import MOST_FILES, Shelf, read_shelf
from posture.store import Question
from posture.task import Task
from tests.checks.tls.pki import AT, MIDDLE, Pair, issue
from tests.checks.tls.revoking import LIST_URL, coded, points, revocation_list
from tests.lab import need

SECOND = timedelta(seconds=1)
WWW, APP, CLINIC = (AssetKey(f"{name}.gov.example", "host") for name in ("www", "app", "clinic"))
OWNERS = {WWW: "finance", APP: "finance", CLINIC: "health"}
HERE, THERE, FAR = "192.0.2.7:443/tcp", "192.0.2.8:443/tcp", "192.0.2.9:443/tcp"
KEY = ec.generate_private_key(ec.SECP256R1())
LEAF = issue("www.gov.example", MIDDLE, names=("www.gov.example",), key=KEY, extensions=(points(LIST_URL),))


def seen(*chain: Pair | bytes) -> Answer:
    sent = tuple(one if isinstance(one, bytes) else one.der for one in chain)
    return Observed(TlsFacts("www.gov.example", "", (), chain=sent), AT)


def waiting(probe: str, asset: AssetKey = WWW, subject: str = "") -> Task:
    told = {FOLLOWS: "tls"}
    owner = OWNERS[asset]
    return Task(owner, asset.name, asset.kind, probe, "tls", ProbeClass.CLIENT, subject, asset.name, "a", params=told)


def follow(task: Task, answers: dict[Question, Answer], shelf: Shelf | None = None) -> Following:
    return follow_up([task], answers, OWNERS, shelf or Shelf(), AT)


# ---- lists


def about_list(answer: Answer | None, shelf: Shelf | None = None) -> Following:
    answers = {} if answer is None else {(WWW, "tls", HERE): answer}
    return follow(waiting("crl", subject=HERE), answers, shelf)


def test_the_lists_that_a_certificate_names_are_fetched() -> None:
    (task,) = about_list(seen(LEAF, MIDDLE)).tasks
    assert (task.params["urls"], task.params["lists"], task.subject) == ([LIST_URL], [], HERE)
    assert FOLLOWS not in task.params
    assert len(task.params["others"]) == 1


def test_a_file_that_knows_saves_the_way() -> None:
    shelf = shelf_of(revocation_list(LEAF), revocation_list(end=AT - SECOND))
    (task,) = about_list(seen(LEAF, MIDDLE), shelf).tasks
    assert task.params["urls"] == []
    assert [one["word"] for one in task.params["lists"]] == ["listed"]


def test_a_file_that_does_not_know_is_told_and_the_list_fetched() -> None:
    (task,) = about_list(seen(LEAF, MIDDLE), shelf_of(revocation_list(end=AT - SECOND))).tasks
    assert task.params["urls"] == [LIST_URL]
    assert [one["word"] for one in task.params["lists"]] == ["stale"]


def test_one_file_that_lists_it_outweighs_one_that_does_not() -> None:
    (task,) = about_list(seen(LEAF, MIDDLE), shelf_of(revocation_list(), revocation_list(LEAF))).tasks
    assert [one["word"] for one in task.params["lists"]] == ["listed"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, Reason.NOT_RUN),
        (Unobserved(Reason.RESET, AT), Reason.RESET),
        (seen(), Reason.NOT_RECORDED),
        (seen(b"\x30\x00"), Reason.NOT_RECORDED),
        (Absent(AbsentCause.CLOSED, AT), AbsentCause.CLOSED),
    ],
)
def test_without_a_certificate_nothing_is_asked(answer: Answer | None, expected: Reason | AbsentCause) -> None:
    following = about_list(answer)
    ((_, settled),) = following.settled
    assert following.tasks == ()
    assert (settled.cause if isinstance(settled, Absent) else settled.reason) is expected


def shelf_of(*lists: Any) -> Shelf:
    return Shelf({MIDDLE.cert.subject.public_bytes(): lists})


# ---- files


def test_a_folder_of_lists_in_both_codings_with_a_stray_file(tmp_path: Path) -> None:
    crl = revocation_list(LEAF)
    (tmp_path / "a.crl").write_bytes(coded(crl))
    (tmp_path / "b.pem").write_bytes(crl.public_bytes(Encoding.PEM))
    (tmp_path / "notes.txt").write_text("fetched on Monday")
    (tmp_path / "below").mkdir()

    shelf = read_shelf(tmp_path)

    assert shelf.of(MIDDLE.cert.subject.public_bytes()) == (crl, crl)
    assert shelf.of(LEAF.cert.subject.public_bytes()) == ()
    (remark,) = shelf.remarks
    assert "notes.txt is left aside" in remark
    assert read_shelf(tmp_path / "a.crl").of(MIDDLE.cert.subject.public_bytes()) == (crl,)
    assert read_shelf(None) == Shelf()


def test_a_folder_that_is_not_there_or_too_full_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no such file or folder\. 'crls' names"):
        read_shelf(tmp_path / "gone")
    for number in range(MOST_FILES + 1):
        (tmp_path / str(number)).touch()
    with pytest.raises(ConfigurationError, match="holds more than 1000 files"):
        read_shelf(tmp_path)


def test_the_configuration_names_the_folder(tmp_path: Path) -> None:
    (tmp_path / "posture.toml").write_text('crls = "lists"\nweak_keys = "keys"\n')
    config = load_config(config=tmp_path / "posture.toml", inventory=None, environ={}, cwd=tmp_path)
    assert (config.crls, config.weak_keys) == (tmp_path / "lists", tmp_path / "keys")


def test_weak_keys_in_the_form_of_the_old_blacklists(tmp_path: Path) -> None:
    """The marks of RSA moduli as the tools of that time wrote them, by the openssl command here."""
    openssl = need("openssl", "openssl")
    for name in ("weak", "other"):
        subprocess.run([openssl, "genrsa", "-out", tmp_path / f"{name}.key", "2048"], check=True, capture_output=True)
    told = subprocess.run(
        [openssl, "rsa", "-noout", "-modulus", "-in", tmp_path / "weak.key"], check=True, capture_output=True
    )
    mark = hashlib.sha1(told.stdout).hexdigest()[20:]
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "blacklist.RSA-2048").write_text(f"# made in 2008\n\n00005890bc78bcbee3ca\n{mark.upper()}\n")
    shelf = read_shelf(None, lists)

    for name, word in (("weak", "listed"), ("other", "not_listed")):
        key = load_pem_private_key((tmp_path / f"{name}.key").read_bytes(), None)
        (task,) = about_list(seen(leaf_of(WWW, key=key), MIDDLE), shelf).tasks
        assert task.params["weak_key"] == word
    (task,) = about_list(seen(LEAF, MIDDLE), shelf).tasks
    assert task.params["weak_key"] == ""
    (task,) = about_list(seen(leaf_of(WWW, key=key), MIDDLE)).tasks
    assert task.params["weak_key"] == ""


def test_a_line_that_is_no_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("00005890bc78bcbee3ca\n00005890bc78bcbee3cg\n")
    with pytest.raises(ConfigurationError, match="keys, line 2: '00005890bc78bcbee3cg' is no key"):
        read_shelf(None, tmp_path / "keys")
    with pytest.raises(ConfigurationError, match="'weak_keys' names"):
        read_shelf(None, tmp_path / "gone")


# ---- keys


def leaf_of(asset: AssetKey, *names: str, key: Any = None) -> Pair:
    return issue(asset.name, MIDDLE, names=(asset.name, *names), key=key)


def uses_of(asset: AssetKey, answers: dict[Question, Answer]) -> dict[str, Any]:
    (task,) = follow(waiting("key_use", asset), answers).tasks
    return dict(task.params)


def test_a_key_of_two_ministries_is_counted_and_of_one_is_named() -> None:
    answers = {
        (WWW, "tls", HERE): seen(LEAF),
        (APP, "tls", THERE): seen(leaf_of(APP, key=KEY)),
        (CLINIC, "tls", FAR): seen(leaf_of(CLINIC, key=KEY)),
    }
    (of_www,) = uses_of(WWW, answers)["keys"]
    assert (of_www["own"], of_www["foreign"], of_www["endpoints"]) == ([APP.name], 1, [HERE])
    (of_clinic,) = uses_of(CLINIC, answers)["keys"]
    assert (of_clinic["own"], of_clinic["foreign"]) == ([], 1)


def test_two_names_at_one_address_and_two_addresses_of_one_name_are_one_user() -> None:
    answers = {
        (WWW, "tls", HERE): seen(LEAF),
        (WWW, "tls", THERE): seen(LEAF),
        (APP, "tls", HERE): seen(leaf_of(APP, key=KEY)),
    }
    (use,) = uses_of(WWW, answers)["keys"]
    assert (use["own"], use["foreign"], use["endpoints"]) == ([], 0, [HERE, THERE])


def test_renewed_with_the_same_key_is_the_same_key_and_another_is_not() -> None:
    answers = {
        (WWW, "tls", HERE): seen(LEAF),
        (WWW, "tls", THERE): seen(leaf_of(WWW, key=KEY)),
        (APP, "tls", FAR): seen(leaf_of(APP)),
    }
    assert [use["endpoints"] for use in uses_of(WWW, answers)["keys"]] == [[HERE, THERE]]
    assert [use["own"] for use in uses_of(WWW, answers)["keys"]] == [[]]


def test_a_wildcard_over_names_of_others_is_counted() -> None:
    answers: dict[Question, Answer] = {(WWW, "tls", HERE): seen(leaf_of(WWW, "*.gov.example", "*.finance.gov.example"))}
    assert uses_of(WWW, answers)["wildcards"] == [{"pattern": "*.gov.example", "foreign": 1}]
    assert uses_of(WWW, {(WWW, "tls", HERE): seen(LEAF)})["wildcards"] == []


def test_mail_exchangers_are_left_out_and_what_cannot_be_read_is_counted() -> None:
    answers = {
        (WWW, "tls", HERE): seen(LEAF),
        (CLINIC, "tls", "mx:mail.gov.example:25"): seen(leaf_of(CLINIC, key=KEY)),
        (WWW, "tls", THERE): seen(b"\x30\x00"),
    }
    told = uses_of(WWW, answers)
    assert (told["keys"][0]["foreign"], told["unreadable"]) == (0, 1)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([Absent(AbsentCause.CLOSED, AT)], AbsentCause.CLOSED),
        ([Absent(AbsentCause.CLOSED, AT), Unobserved(Reason.TIMEOUT, AT)], Reason.TIMEOUT),
        ([Absent(AbsentCause.CLOSED, AT), seen()], Reason.NOT_RECORDED),
        ([], Reason.NOT_RECORDED),
    ],
)
def test_without_certificates_there_is_no_use(answers: list[Answer], expected: Any) -> None:
    told = {(WWW, "tls", f"192.0.2.{number}:443/tcp"): answer for number, answer in enumerate(answers)}
    ((_, settled),) = follow(waiting("key_use"), told).settled
    assert (settled.cause if isinstance(settled, Absent) else settled.reason) is expected


def test_only_what_waits_is_followed_up() -> None:
    ordinary = replace(waiting("crl", subject=HERE), params={})
    assert follow(ordinary, {(WWW, "tls", HERE): seen(LEAF)}) == Following((), ())
