from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from posture.errors import InventoryError, PostureError, UsageError
from posture.inventory import load_inventory
from posture.inventory.records import Port
from posture.inventory.sheet import ImportReport, import_sheet, parse_mapping
from posture.model import AssetKey
from tests.inventory.documents import GOOD, with_asset, write


def sheet(folder: Path, text: str) -> Path:
    path = folder / "sites.csv"
    path.write_text(text, "utf-8", newline="")
    return path


def run(folder: Path, text: str, **options: object) -> ImportReport:
    return import_sheet(sheet(folder, text), folder / "inventory.toml", **options)  # type: ignore[arg-type]  # as typed


def names(folder: Path) -> list[str]:
    return [asset.name for asset in load_inventory(folder / "inventory.toml")[0].assets]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def host(name: str) -> AssetKey:
    return AssetKey(f"{name}.finance.gov.example", "host")


def test_a_first_import_makes_the_companion_sheet_and_keeps_the_comments(tmp_path: Path) -> None:
    commented = "# my file\n" + GOOD.replace('code = "finance"', 'code   = "finance"  # the treasury')
    path = write(tmp_path, commented)

    report = run(tmp_path, "Name,ports\nWWW.finance.gov.example,80;443\n", ministry="finance")

    assert report == ImportReport(added=(host("www"),))
    assert path.read_text("utf-8") == commented.replace("# the treasury\n", '# the treasury\nassets = "finance.csv"\n')
    asset = load_inventory(path)[0].assets[0]
    assert (asset.name, asset.ministry, asset.ports) == ("www.finance.gov.example", "finance", (Port(80), Port(443)))
    assert "1 added, 0 changed, 0 missing" in report.text()


def test_importing_again_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path)
    text = "ministry,name,kind,ports\nfinance,www.finance.gov.example,,443\nfinance,finance.gov.example,zone,none\n"
    run(tmp_path, text)
    before = snapshot(tmp_path)

    report = run(tmp_path, text)

    assert report == ImportReport()
    assert snapshot(tmp_path) == before


def test_importing_again_updates_and_keeps_columns_that_the_sheet_does_not_have(tmp_path: Path) -> None:
    write(tmp_path)
    run(
        tmp_path, "name,ports,roles\na.finance.gov.example,443,web\nb.finance.gov.example,443,web\n", ministry="finance"
    )

    report = run(tmp_path, "name,ports\na.finance.gov.example,80\nc.finance.gov.example,\n", ministry="finance")

    assert report == ImportReport(added=(host("c"),), changed=(host("a"),), missing=(host("b"),))
    first, second, third = load_inventory(tmp_path / "inventory.toml")[0].assets
    assert (first.name, first.ports, first.roles) == ("a.finance.gov.example", (Port(80),), ("web",))
    assert (second.name, third.name) == ("b.finance.gov.example", "c.finance.gov.example")


def test_missing_assets_are_removed_only_when_asked(tmp_path: Path) -> None:
    write(tmp_path)
    run(tmp_path, "name\na.finance.gov.example\nb.finance.gov.example\n", ministry="finance")

    report = run(tmp_path, "name\na.finance.gov.example\n", ministry="finance", remove_missing=True)

    assert (report.missing, report.removed) == ((host("b"),), True)
    assert names(tmp_path) == ["a.finance.gov.example"]


def test_a_url_becomes_its_host_name_and_is_listed(tmp_path: Path) -> None:
    write(tmp_path)

    report = run(
        tmp_path,
        "name\nhttps://User@WWW.finance.gov.example:8443/a?b\ntax.finance.gov.example/login\n",
        ministry="finance",
    )

    assert report.urls == (
        ("https://User@WWW.finance.gov.example:8443/a?b", "www.finance.gov.example"),
        ("tax.finance.gov.example/login", "tax.finance.gov.example"),
    )
    assert names(tmp_path) == ["www.finance.gov.example", "tax.finance.gov.example"]
    assert "became tax.finance.gov.example" in report.text()


def test_a_new_ministry_gets_a_block_and_no_authorisation(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.rstrip("\n"))

    run(tmp_path, "name,ministry\nhealth.gov.example,health\nwww.finance.gov.example,finance\n")

    document = tomllib.loads(path.read_text("utf-8"))
    assert document["ministry"][1] == {"code": "health", "name": "health", "assets": "health.csv"}
    assert document["authorisation"] == tomllib.loads(GOOD)["authorisation"]
    assert sorted(names(tmp_path)) == ["health.gov.example", "www.finance.gov.example"]


def test_windows_line_ends_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("\n", "\r\n"))

    run(tmp_path, "name,ministry\na.finance.gov.example,finance\nhealth.gov.example,health\n")

    assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n")
    assert len(names(tmp_path)) == 2


def test_a_file_of_somebody_else_is_not_taken_for_the_companion(tmp_path: Path) -> None:
    write(tmp_path, GOOD, finance="name\nwww.finance.gov.example\n")

    import_sheet(tmp_path / "finance.csv", tmp_path / "inventory.toml", ministry="finance")

    assert (tmp_path / "finance.csv").read_text("utf-8") == "name\nwww.finance.gov.example\n"
    assert (tmp_path / "finance-assets.csv").exists()
    assert names(tmp_path) == ["www.finance.gov.example"]


def test_every_bad_row_is_told_and_nothing_is_changed(tmp_path: Path) -> None:
    write(tmp_path, with_asset('name = "hand.finance.gov.example"\nports = [443]'))
    run(tmp_path, "name\na.finance.gov.example\n", ministry="finance")
    sheet(tmp_path, "")
    before = snapshot(tmp_path)
    text = (
        "ministry,name,ports\n"
        "finance,good.finance.gov.example,443\n"
        "finance,-oN,443\n"
        ",nobody.finance.gov.example,443\n"
        "fin ance,x.finance.gov.example,443\n"
        "finance,a.finance.gov.example,99999\n"
        "finance,good.finance.gov.example,80\n"
        "health,a.finance.gov.example,443\n"
        "finance,hand.finance.gov.example,80\n"
        "finance,https://,80\n"
    )

    with pytest.raises(InventoryError) as caught:
        run(tmp_path, text)

    assert [(each.line, each.code, each.field) for each in caught.value.problems] == [
        (3, "INV-011", "name"),
        (4, "INV-004", "ministry"),
        (5, "INV-006", "ministry"),
        (6, "INV-026", "ports[0]"),
        (7, "INV-015", "name"),
        (8, "INV-015", "name"),
        (9, "INV-015", "ports"),
        (10, "INV-014", "name"),
    ]
    assert {each.file for each in caught.value.problems} == {str(tmp_path / "sites.csv")}
    after = snapshot(tmp_path)
    assert {name: after[name] for name in before if name != "sites.csv"} == {
        name: before[name] for name in before if name != "sites.csv"
    }
    assert set(after) == set(before)


def test_an_asset_written_by_hand_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, with_asset('name = "hand.finance.gov.example"\nports = [443]\ncriticality = 3'))

    report = run(tmp_path, "name,ports\nhand.finance.gov.example,443\n", ministry="finance")

    assert report == ImportReport()
    assert path.read_text("utf-8") == with_asset('name = "hand.finance.gov.example"\nports = [443]\ncriticality = 3')


def test_headers_of_others_are_mapped_or_passed_over(tmp_path: Path) -> None:
    write(tmp_path)
    mapping = parse_mapping(["Web site=name", "Remarks=-"])

    run(tmp_path, "Web Site,remarks\nwww.finance.gov.example,old\n", ministry="finance", mapping=mapping)

    assert names(tmp_path) == ["www.finance.gov.example"]
    with pytest.raises(InventoryError, match="Remarks"):
        run(tmp_path, "name,Remarks\nwww.finance.gov.example,old\n", ministry="finance")
    with pytest.raises(InventoryError, match="no column 'web site' to map"):
        run(tmp_path, "name\nwww.finance.gov.example\n", ministry="finance", mapping={"Web site": "name"})


@pytest.mark.parametrize("pair", ["name", "=name", "Web=nmae", "Web="])
def test_a_bad_mapping_is_a_usage_error(pair: str) -> None:
    with pytest.raises(UsageError, match="HEADER=FIELD"):
        parse_mapping([pair])


def test_what_cannot_be_imported_is_a_usage_error(tmp_path: Path) -> None:
    path = write(tmp_path)

    with pytest.raises(UsageError, match="CSV"):
        import_sheet(tmp_path / "sites.xlsx", path)
    with pytest.raises(UsageError, match="cannot be read"):
        import_sheet(tmp_path / "none.csv", path)
    with pytest.raises(UsageError, match="--ministry"):
        run(tmp_path, "name\na.example\n", ministry="../x")


def test_an_inventory_with_faults_is_not_touched(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("2026-12-31", "2020-12-31"))

    with pytest.raises(InventoryError, match="not_after"):
        run(tmp_path, "name\nwww.finance.gov.example\n", ministry="finance")

    assert sorted(snapshot(tmp_path)) == ["inventory.toml", "sites.csv"]
    assert "assets" not in path.read_text("utf-8")


def test_ministries_written_inline_are_for_their_writer_to_edit(tmp_path: Path) -> None:
    head = GOOD[: GOOD.index("[state]")]
    rest = GOOD[GOOD.index("[state]") : GOOD.index("[[ministry]]")]
    text = f'{head}ministry = [{{ code = "finance", authorisation = "lc-2026-001" }}]\n{rest}'
    path = write(tmp_path, text)

    with pytest.raises(UsageError, match="by hand"):
        run(tmp_path, "name\nwww.finance.gov.example\n", ministry="finance")

    assert path.read_text("utf-8") == text
    assert sorted(snapshot(tmp_path)) == ["inventory.toml", "sites.csv"]


def test_a_file_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / ".finance.csv.new").mkdir()

    with pytest.raises(PostureError, match="cannot write"):
        run(tmp_path, "name\nwww.finance.gov.example\n", ministry="finance")

    assert path.read_text("utf-8") == GOOD
    assert not (tmp_path / "finance.csv").exists()
