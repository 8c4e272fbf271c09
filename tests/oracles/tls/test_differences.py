"""What we find on real servers is what others find, or the difference is listed with its reason."""

from __future__ import annotations

import pytest

from tests.oracles.tls.conftest import ALL, SAMPLE, Opinions, given
from tests.oracles.tls.differences import Difference, Listed, differences, listed
from tests.oracles.tls.lab import servers

pytestmark = pytest.mark.xdist_group("the lab of TLS servers")

ORACLES = ("sslyze", "openssl", "gnutls", "sslscan")
NAMES = tuple(servers()) if ALL else SAMPLE


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("name", NAMES)
def test_nobody_says_otherwise_without_a_reason(
    name: str, oracle: str, of_ours: Opinions, of_others: dict[str, Opinions]
) -> None:
    theirs = given(of_others, oracle)
    found = list(differences(name, oracle, given(of_ours, name), theirs[name]))
    known = [one for one in listed() if (one.server, one.oracle) == (name, oracle)]

    assert [one for one in found if not any(each.explains(one) for each in known)] == [], "unexplained"
    assert [one for one in known if not any(one.explains(each) for each in found)] == [], "no difference any more"


@pytest.mark.parametrize("name", NAMES)
def test_every_server_is_compared_on_much(name: str, of_ours: Opinions, of_others: dict[str, Opinions]) -> None:
    mine = given(of_ours, name)
    compared = {question for oracle in ORACLES for question in given(of_others, oracle)[name].keys() & mine.keys()}
    spoken = {question for question, said in mine.items() if question.startswith("speaks ") and said}

    assert spoken
    assert spoken <= compared


def test_early_data_is_seen_where_it_is_switched_on(of_ours: Opinions) -> None:
    told = {name: opinion["early data"] for name, opinion in of_ours.items() if "early data" in opinion}

    assert [name for name, accepted in told.items() if accepted] == ["nginx-early-data"]
    assert told["nginx-dual"] is False


def test_what_is_listed_names_servers_and_oracles_that_there_are() -> None:
    assert {one.server for one in listed()} <= set(servers())
    assert {one.oracle for one in listed()} <= set(ORACLES)
    assert all(one.reason.endswith(".") for one in listed())


def test_a_difference_is_explained_by_its_like_alone() -> None:
    known = Listed("web", "sslyze", "suites TLS 1.2", ("TLS_ECDHE_*",), (), "for a reason that is good enough")
    same = Difference("web", "sslyze", "suites TLS 1.2", ("TLS_ECDHE_A", "TLS_ECDHE_B"), ())

    assert known.explains(same)
    assert not known.explains(Difference("web", "sslyze", "suites TLS 1.2", ("TLS_ECDHE_A", "TLS_RSA_B"), ()))
    assert not known.explains(Difference("web", "sslyze", "suites TLS 1.2", (), ()))
    assert not known.explains(Difference("web", "sslyze", "suites TLS 1.2", ("TLS_ECDHE_A",), ("TLS_RSA_B",)))
    assert not known.explains(Difference("web", "openssl", "suites TLS 1.2", ("TLS_ECDHE_A",), ()))


@pytest.mark.parametrize(
    ("question", "ours", "theirs", "apart"),
    [
        ("ems", True, True, None),
        ("ems", True, False, (("yes",), ("no",))),
        ("hash", "MD5", "SHA-1", (("MD5",), ("SHA-1",))),
        ("curves", ["a", "b"], ["b", "c"], (("a",), ("c",))),
        ("groups", ["a"], ["a", "b"], None),
        ("groups", ["a", "c"], ["a", "b"], (("c",), ())),
        ("chain", [["1", "2"]], [["3"], ["1", "2"]], None),
        ("chain", [["1", "2"]], [["1"]], (("1", "2"), ("1",))),
    ],
)
def test_what_counts_as_a_difference(
    question: str, ours: object, theirs: object, apart: tuple[tuple[str, ...], tuple[str, ...]] | None
) -> None:
    found = list(differences("web", "sslyze", {question: ours}, {question: theirs, "other": 1}))

    assert [(one.ours, one.theirs) for one in found] == ([apart] if apart else [])
