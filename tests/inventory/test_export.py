"""Out of the inventory and in again: the same assets."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posture.errors import InventoryError, UsageError
from posture.inventory import load_inventory
from posture.inventory.export import export_inventory, sheet_csv, sheet_xlsx, write_whole
from posture.inventory.records import Asset, Inventory, Port
from posture.inventory.sheet import ImportReport, import_sheet
from tests.inventory.documents import GOOD, write

HEALTH = '\n[[ministry]]\ncode = "health"\nname = "Ministry of Health"\n'
LABELS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
PORTS = st.builds(
    Port,
    st.integers(1, 65535),
    st.sampled_from(("tcp", "udp")),
    st.just(""),
) | st.builds(Port, st.integers(1, 65535), st.just("tcp"), st.sampled_from(("https", "tls")))


@st.composite
def assets(draw: st.DrawFn) -> Asset:
    kind = draw(st.sampled_from(("host", "zone", "address")))
    address = kind == "address"
    name = f"198.51.100.{draw(st.integers(1, 254))}" if address else f"{draw(LABELS)}.finance.gov.example"
    pinned = st.lists(st.sampled_from(("198.51.100.9", "2001:db8::1")), unique=True, max_size=2).map(tuple)
    return Asset(
        name=name,
        kind=kind,
        ministry=draw(st.sampled_from(("finance", "health"))),
        roles=draw(st.lists(st.sampled_from(("web", "mail", "nameserver", "api")), unique=True, max_size=3).map(tuple)),
        criticality=draw(st.integers(1, 3)),
        ports=draw(
            st.none() | st.lists(PORTS, unique_by=lambda one: (one.number, one.protocol), max_size=4).map(tuple)
        ),
        internal=draw(st.booleans()),
        addresses=() if address else draw(pinned),
        mail=draw(st.none() | st.sampled_from(((), ("sends",), ("sends", "receives")))) if kind == "zone" else None,
        dkim_selectors=draw(st.lists(LABELS, unique=True, max_size=2).map(tuple)) if kind == "zone" else (),
    )


def bare(found: Sequence[Asset]) -> set[Asset]:
    return {replace(one, file="", line=0) for one in found}


def read(path: Path) -> Inventory:
    return load_inventory(path)[0]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(assets(), unique_by=lambda one: one.key, min_size=1, max_size=6), st.sampled_from(("csv", "xlsx")))
def test_a_sheet_that_went_out_comes_in_the_same(
    tmp_path_factory: pytest.TempPathFactory, listed: list[Asset], form: str
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    into = write(folder, GOOD + HEALTH)
    path = folder / f"assets.{form}"
    path.write_bytes((sheet_csv if form == "csv" else sheet_xlsx)(listed))

    import_sheet(path, into)

    assert bare(read(into).assets) == set(listed)
    # And once more, out of what came in, into itself: nothing to do.
    path.write_bytes(export_inventory(into, form))
    assert import_sheet(path, into) == ImportReport()
    # And as one file, without the sheets.
    alone = folder / "alone"
    alone.mkdir()
    (alone / "inventory.toml").write_bytes(export_inventory(into, "toml"))
    again = read(alone / "inventory.toml")
    assert bare(again.assets) == set(listed)
    assert (again.state, again.operator, again.authorisations, again.ministries) == (
        read(into).state, read(into).operator, read(into).authorisations, read(into).ministries,
    )  # fmt: skip


def test_the_tables_of_the_toml_keep_their_words_and_their_places(tmp_path: Path) -> None:
    text = GOOD.replace('code = "finance"', 'code = "finance"\nassets = "finance.csv"  # the sheet') + "# the end\n"
    path = write(tmp_path, text + HEALTH, finance="name,ports\nwww.finance.gov.example,none\n")

    found = export_inventory(path, "toml").decode()

    assert found == text.replace('assets = "finance.csv"  # the sheet\n', "") + (
        '\n\n[[ministry.asset]]\nname = "www.finance.gov.example"\nkind = "host"\nports = []\n'
        + HEALTH.removeprefix("\n")
    )


def test_one_ministry_alone(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        GOOD.replace('code = "finance"', 'code = "finance"\nassets = "f.csv"')
        + HEALTH.replace('"health"\n', '"health"\nassets = "h.csv"\n', 1),
        f="name\nwww.finance.gov.example\n",
        h="name\nwww.health.gov.example\n",
    )

    assert b"finance" not in export_inventory(path, "csv", ["health"])
    with pytest.raises(UsageError, match="Choose from: finance, health"):
        export_inventory(path, "csv", ["treasury"])
    with pytest.raises(UsageError, match="Leave --ministry out"):
        export_inventory(path, "toml", ["health"])


def test_a_workbook_tells_what_its_columns_mean(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + '\n[[ministry.asset]]\nname = "www.finance.gov.example"\nports = [80, 443]\n')
    book = openpyxl.load_workbook(io.BytesIO(export_inventory(path, "xlsx")))

    assert book.sheetnames == ["assets", "columns"]
    head = [cell.value for cell in book["assets"][1]]
    assert [row[0].value for row in book["columns"].iter_rows()] == head
    ports = book["assets"].cell(2, head.index("ports") + 1)
    assert (ports.value, ports.number_format) == ("80 443", "@")  # a spreadsheet leaves it as it is


def test_a_faulty_inventory_is_not_exported(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace('code = "finance"', 'code = "finance"\nassets = "gone.csv"'))
    with pytest.raises(InventoryError, match=r"gone\.csv"):
        export_inventory(path, "csv")


def test_a_file_that_is_there_is_kept_without_force(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"mine")
    with pytest.raises(UsageError, match="add --force"):
        write_whole(path, b"ours", force=False)
    assert path.read_bytes() == b"mine"
    write_whole(path, b"ours", force=True)
    assert path.read_bytes() == b"ours"
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]
