from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from posture.errors import UsageError
from posture.inventory import load_inventory
from posture.inventory.init import init_directory
from posture.model import ProbeClass
from posture.scope import Grant, Refusal, Scope

AT = datetime(2026, 11, 24, 2, tzinfo=UTC)


def decide(path: Path) -> Grant | Refusal:
    inventory, _ = load_inventory(path, at=AT)
    name = inventory.assets[0].name
    return Scope(inventory, lab=False).decide(
        ministry=inventory.ministries[0].code,
        name=name,
        address="8.8.8.8",
        port=443,
        protocol="tcp",
        probe_class=ProbeClass.CLIENT,
        at=AT,
    )


def test_own_systems_are_ready_to_scan(tmp_path: Path) -> None:
    paths = init_directory(
        tmp_path / "new" / "folder",
        names=["Finance.gov.example", "treasury.gov.example"],
        owner='Ministry of "Finance" @id@',
        contact="soc@cert.lc",
        basis="own",
        state_code="lc",
        at=AT,
    )

    inventory, warnings = load_inventory(paths[0], at=AT)

    assert [path.name for path in paths] == ["inventory.toml", "posture.toml", "consent-letter.md"]
    assert warnings == ()
    assert inventory.state.timezone == "America/St_Lucia"
    [authorisation] = inventory.authorisations.values()
    assert authorisation.owner == 'Ministry of "Finance" @id@'
    assert (authorisation.not_before, authorisation.not_after) == (date(2026, 11, 23), date(2027, 11, 23))
    assert authorisation.classes == {ProbeClass.PASSIVE, ProbeClass.CLIENT}
    assert authorisation.hosted_classes == {ProbeClass.CLIENT}
    assert authorisation.networks == ()
    assert [(asset.name, asset.kind, asset.roles) for asset in inventory.assets] == [
        ("finance.gov.example", "zone", ("web",)),
        ("treasury.gov.example", "zone", ("web",)),
    ]
    assert isinstance(decide(paths[0]), Grant)
    assert tomllib.loads(paths[1].read_text("utf-8")) == {"inventory": "inventory.toml", "db": "posture.db"}


def test_without_a_signed_letter_nothing_is_granted(tmp_path: Path) -> None:
    paths = init_directory(tmp_path, names=["finance.gov.example"], owner="MoF", contact="soc@cert.lc", at=AT)

    decision = decide(paths[0])

    assert isinstance(decision, Refusal)
    assert decision.code == "E-SCOPE-001"
    assert "draft" in decision.text


def test_a_bare_init_gives_a_valid_inventory_to_fill_in(tmp_path: Path) -> None:
    paths = init_directory(tmp_path, names=[], at=AT)

    inventory, warnings = load_inventory(paths[0], at=AT)

    assert (inventory.state.code, inventory.state.timezone) == ("ZZ", "UTC")
    assert inventory.assets == ()
    assert {warning.code for warning in warnings} == {"INV-104", "INV-107"}


def test_the_letter_says_what_the_inventory_says(tmp_path: Path) -> None:
    *_, letter = init_directory(
        tmp_path,
        names=["finance.gov.example"],
        owner="Ministry of Finance",
        contact="soc@cert.lc",
        state_code="DM",
        at=AT,
    )

    text = letter.read_text("utf-8")

    for words in (
        "Ministry of Finance, Dominica",
        "soc@cert.lc",
        "`finance.gov.example`",
        "dm-2026-001",
        "23 November 2026",
        "23 November 2027",
        "America/Dominica",
        "Signature",
    ):
        assert words in text
    assert "@" not in text.replace("soc@cert.lc", "")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "posture.toml").write_text("mine", "utf-8")

    with pytest.raises(UsageError, match=r"posture\.toml"):
        init_directory(tmp_path, names=[])

    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["posture.toml"]
    assert (tmp_path / "posture.toml").read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("names", "owner", "contact", "basis", "state"),
    [
        (["a.example"], "", "", "own", "ZZ"),
        ([], "", "soc@cert.lc", "own", "ZZ"),
        ([], "", "", "statute", "ZZ"),
        ([], "", "", "consent", "Z"),
        (["-x"], "", "", "consent", "ZZ"),
        (["https://a.example"], "", "", "consent", "ZZ"),
        ([], "a\nb", "", "consent", "ZZ"),
        ([], "a\udce9b", "", "consent", "ZZ"),
        ([], "", "sóc@cert.lc", "consent", "ZZ"),
    ],
)
def test_bad_words_are_usage_errors_and_nothing_is_written(
    tmp_path: Path, names: list[str], owner: str, contact: str, basis: str, state: str
) -> None:
    with pytest.raises(UsageError):
        init_directory(tmp_path / "new", names=names, owner=owner, contact=contact, basis=basis, state_code=state)

    assert not (tmp_path / "new").exists()


def test_a_year_from_a_leap_day_is_the_last_of_february(tmp_path: Path) -> None:
    paths = init_directory(tmp_path, names=[], at=datetime(2028, 2, 29, 12, tzinfo=UTC))

    [authorisation] = load_inventory(paths[0])[0].authorisations.values()

    assert authorisation.not_after == date(2029, 2, 28)
