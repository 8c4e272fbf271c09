from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from posture.errors import InventoryError
from posture.inventory import load_inventory, summary
from posture.inventory.records import Blackout, LabPort, Limits, Operator, Port, State, ThirdParty
from posture.model import ProbeClass
from tests.inventory.documents import AT, GOOD, load, only_problem, problems_of, with_asset, write

PASSIVE, CLIENT, ACTIVE = ProbeClass.PASSIVE, ProbeClass.CLIENT, ProbeClass.ACTIVE


def after(anchor: str, line: str, text: str = GOOD) -> str:
    """``text`` with a line added behind the first line that starts with ``anchor``."""
    lines = text.splitlines(keepends=True)
    place = next(number for number, each in enumerate(lines) if each.startswith(anchor))
    return "".join([*lines[: place + 1], f"{line}\n", *lines[place + 1 :]])


def test_a_whole_inventory_becomes_values(tmp_path: Path) -> None:
    text = after(
        "zones",
        """\
exclude = ["hr.finance.gov.example"]
networks = ["198.51.100.0/24", "2001:db8:40::/48"]
hosted_classes = ["client"]
ports = ["25", 443, "1-1024/tcp", "161/udp"]
basis = "statute"
officer = "PS"
emergency = "+1"
document = "letter.pdf"
[authorisation.limits]
connections = 50
[[authorisation.third_party]]
party = "CloudCo"
networks = ["192.0.2.0/28"]
classes = ["client"]
reference = "t"
[[authorisation.blackout]]
when = "Sun 22:00-06:00"
classes = ["active"]
[[authorisation.blackout]]
when = "Sat 00:00-24:00\"""",
    )
    (tmp_path / "letter.pdf").write_bytes(b"signed")

    inventory, warnings = load(tmp_path, text)

    assert warnings == ()
    assert inventory.state == State("LC", "Saint Lucia", "America/St_Lucia")
    assert inventory.operator == Operator("CERT-LC", "soc@cert.lc", "")
    [authorisation] = inventory.authorisations.values()
    assert authorisation.id == "lc-2026-001"
    assert (authorisation.not_before, authorisation.not_after) == (date(2026, 1, 1), date(2026, 12, 31))
    assert authorisation.classes == {PASSIVE, CLIENT}
    assert authorisation.hosted_classes == {CLIENT}
    assert authorisation.networks == (ip_network("198.51.100.0/24"), ip_network("2001:db8:40::/48"))
    assert authorisation.ports == ((25, 25, ""), (443, 443, ""), (1, 1024, "tcp"), (161, 161, "udp"))
    assert authorisation.limits == Limits(connections=50)
    assert authorisation.document_sha256 == hashlib.sha256(b"signed").hexdigest()
    assert authorisation.third_parties == (
        ThirdParty("CloudCo", (ip_network("192.0.2.0/28"),), frozenset({CLIENT}), "t"),
    )
    assert authorisation.blackouts == (
        Blackout("Sun 22:00-06:00", frozenset({6}), 1320, 1440, frozenset({ACTIVE})),
        Blackout("Sun 22:00-06:00", frozenset({0}), 0, 360, frozenset({ACTIVE})),
        Blackout("Sat 00:00-24:00", frozenset({5}), 0, 1440, frozenset(ProbeClass)),
    )
    [ministry] = inventory.ministries
    assert (ministry.code, ministry.name, ministry.authorisations) == (
        "finance",
        "Ministry of Finance",
        ("lc-2026-001",),
    )


def test_assets_of_tables_and_of_the_sheet_become_values(tmp_path: Path) -> None:
    text = after('code = "finance"', 'assets = "finance.csv"', with_asset('name = "www.finance.gov.example"'))
    text += '[[ministry.asset]]\nname = "Finance.GOV.example."\nkind = "zone"\nroles = ["web"]\nmail = []\nports = []\n'
    sheet = "Name,KIND,roles,criticality,ports,addresses,mail,dkim_selectors,internal,ministry\r\n"
    sheet += "198.51.100.7,,,3,443;161/udp,,,,yes,finance\r\n"
    sheet += "\r\n"
    sheet += '"mail.finance.gov.example",zone,mail web,,none,,sends receives,s1; S2,,\r\n'

    inventory, _ = load(tmp_path, text, finance="\ufeff" + sheet)

    host, zone, address, mail = inventory.assets
    assert (host.name, host.kind, host.ports, host.mail) == ("www.finance.gov.example", "host", None, None)
    assert (zone.name, zone.kind, zone.ports, zone.mail) == ("finance.gov.example", "zone", (), ())
    assert (address.kind, address.criticality, address.internal) == ("address", 3, True)
    assert address.ports == (Port(443), Port(161, "udp"))
    assert (mail.roles, mail.mail, mail.dkim_selectors) == (("mail", "web"), ("sends", "receives"), ("s1", "s2"))
    assert mail.ports == ()
    assert (host.file, host.line) == (str(tmp_path / "inventory.toml"), 28)
    assert (mail.file, mail.line) == (str(tmp_path / "finance.csv"), 4)


def test_the_digest_covers_the_inventory_and_its_sheets(tmp_path: Path) -> None:
    text = after('code = "finance"', 'assets = "finance.csv"')
    one, _ = load(tmp_path, text, finance="name\na.finance.gov.example\n")
    other, _ = load(tmp_path, text, finance="name\nb.finance.gov.example\n")

    assert one.digest == hashlib.sha256(text.encode() + b"name\na.finance.gov.example\n").hexdigest()
    assert other.digest != one.digest


def test_all_problems_are_told_at_once_with_file_line_field_and_next_step(tmp_path: Path) -> None:
    text = after("classes", 'clases = ["active"]', GOOD.replace("2026-12-31", '"soon"'))
    text = after('code = "finance"', 'assets = "finance.csv"', text)
    text += '[[ministry.asset]]\nname = "-oN"\ncriticality = 9\n'
    sheet = "name,kind\nok.finance.gov.example,host\nbad_name.example,hots\n"

    problems = problems_of(tmp_path, text, finance=sheet)

    toml, csv = str(tmp_path / "inventory.toml"), str(tmp_path / "finance.csv")
    assert [(each.code, each.file, each.line, each.field) for each in problems] == [
        ("INV-022", toml, 17, "authorisation[0].not_after"),
        ("INV-003", toml, 19, "authorisation[0].clases"),
        ("INV-011", toml, 28, "ministry[0].asset[0].name"),
        ("INV-006", toml, 29, "ministry[0].asset[0].criticality"),
        ("INV-010", csv, 3, "name"),
        ("INV-006", csv, 3, "kind"),
    ]
    assert "Did you mean 'classes'?" in problems[1].message
    assert "Did you mean 'host'?" in problems[5].message
    assert all(each.next for each in problems)


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ('format = "posture-inventory/1"', 'format = "posture-inventory/9"', "INV-002", 1),
        ('format = "posture-inventory/1"', "", "INV-004", None),
        ('code = "LC"', 'code = "lca"', "INV-006", 4),
        ("America/St_Lucia", "America/St_Lucy", "INV-023", 6),
        ("America/St_Lucia", "../../etc/passwd", "INV-023", 6),
        ("soc@cert.lc", "soc@cert.lc\\r\\nX: y", "INV-007", 10),
        ("CERT-LC", "CERT\\u202eLC", "INV-007", 9),
        ("CERT-LC", "x" * 3000, "INV-006", 9),
        ('owner = "Ministry of Finance"', "owner = 7", "INV-005", 14),
        ("not_before = 2026-01-01", "not_before = 2026-01-01T00:00:00Z", "INV-022", 16),
        ("not_before = 2026-01-01", "not_before = 2027-01-01", "INV-022", 17),
        ("not_before = 2026-01-01", "", "INV-004", 12),
        ('"client"]', '"clients"]', "INV-006", 18),
        ('"client"]', "1]", "INV-005", 18),
        ('zones = ["finance', 'zones = ["*.finance', "INV-013", 19),
        ('zones = ["finance.gov.example"]', 'zones = "finance.gov.example"', "INV-005", 19),
        ('zones = ["finance.gov.example"]', 'networks = [\n  "10.0.0.0/8",\n  "0.0.0.0/0",\n]', "INV-021", 21),
        ('authorisation = ["lc-2026-001"]', 'authorisation = "lc-2026-002"', "INV-020", 24),
        ('code = "finance"', 'code = "fin ance"', "INV-006", 22),
        ('reference = "Letter 41"', 'document = "nowhere.pdf"', "INV-031", 15),
        ('reference = "Letter 41"', 'document = "a\\u0000b"', "INV-007", 15),
        ('reference = "Letter 41"', 'hosted_classes = ["active"]', "INV-006", 15),
        ('reference = "Letter 41"', "lab = 1", "INV-005", 15),
        ('reference = "Letter 41"', "limits = { dns_burst = 0 }", "INV-006", 15),
        ('reference = "Letter 41"', "limits = { dns_burst = 41 }", "INV-025", 15),
        ('reference = "Letter 41"', "limits = { dns_brust = 4 }", "INV-003", 15),
        ('reference = "Letter 41"', 'blackout = [{ when = "always" }]', "INV-024", 15),
        ('reference = "Letter 41"', 'third_party = [{ party = "x", networks = ["192.0.2.1"] }]', "INV-004", 15),
        ('name = "Ministry of Finance"', 'assets = "nowhere.csv"', "INV-030", 23),
        ('name = "Ministry of Finance"', "asset = [3]", "INV-005", 23),
        ("[operator]", "[[operator]]", "INV-005", 8),
    ],
)
def test_each_fault_is_told_at_its_line(tmp_path: Path, old: str, new: str, code: str, line: int | None) -> None:
    assert old in GOOD

    problem = only_problem(tmp_path, GOOD.replace(old, new))

    assert (problem.code, problem.line) == (code, line)


@pytest.mark.parametrize(
    ("keys", "code", "field"),
    [
        ('kind = "host"', "INV-004", "name"),
        ('name = "a.example"\nkind = "address"', "INV-028", "kind"),
        ('name = "198.51.100.7"\nkind = "host"', "INV-028", "kind"),
        ('name = "198.51.100.7"\naddresses = ["198.51.100.7"]', "INV-028", "addresses"),
        ('name = "a.example"\nmail = ["sends"]', "INV-028", "mail"),
        ('name = "a.example"\ndkim_selectors = ["s1"]', "INV-028", "dkim_selectors"),
        ('name = "a.example"\nports = [443, "70000"]', "INV-026", "ports[1]"),
        ('name = "a.example"\nports = [true]', "INV-005", "ports[0]"),
        ('name = "a.example"\nports = [443, "443/tls"]', "INV-026", "ports"),
        ('name = "a.example"\naddresses = ["0x7f000001"]', "INV-012", "addresses[0]"),
        ('name = "a.example"\nroles = ["website"]', "INV-006", "roles[0]"),
        ('name = "a.example"\ncriticality = true', "INV-005", "criticality"),
        ('name = "a.example"\ninternal = "yes"', "INV-005", "internal"),
        ('name = "a.example"\nip = "1.2.3.4"', "INV-003", "ip"),
        ('name = "https://a.example/"', "INV-014", "name"),
    ],
)
def test_each_fault_of_an_asset_is_told_at_its_field(tmp_path: Path, keys: str, code: str, field: str) -> None:
    problem = only_problem(tmp_path, with_asset(keys))

    assert (problem.code, problem.field) == (code, f"ministry[0].asset[0].{field}")


def test_a_name_given_as_a_url_is_told_about_import(tmp_path: Path) -> None:
    assert "inventory import" in only_problem(tmp_path, with_asset('name = "https://a.example/"')).next


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = \n", 1), ("a = 1\nb = 2\na = 3\n", 3), ("a = 1\n[b\n", 2), ('a = """\n\n', 3), (f"a = {'[' * 5000}", None)],
)
def test_what_is_not_toml_is_told_with_its_line(tmp_path: Path, text: str, line: int | None) -> None:
    problem = only_problem(tmp_path, text)

    assert (problem.code, problem.line) == ("INV-001", line)


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes('a = 1\nname = "é"\n'.encode("latin-1"))

    for path, line in ((tmp_path / "none.toml", None), (tmp_path, None), (tmp_path / "latin.toml", 2)):
        with pytest.raises(InventoryError) as caught:
            load_inventory(path)
        assert [(each.code, each.line) for each in caught.value.problems] == [("INV-001", line)]


def test_duplicates_name_both_lines(tmp_path: Path) -> None:
    text = after('code = "finance"', 'assets = "finance.csv"', with_asset('name = "a.finance.gov.example"'))
    text += '[[ministry.asset]]\nname = "A.finance.gov.example."\n'
    sheet = "name,kind\na.finance.gov.example,zone\na.finance.gov.example,\n"

    in_toml, in_sheet = problems_of(tmp_path, text, finance=sheet)

    assert (in_toml.code, in_toml.line) == ("INV-015", 30)
    assert "line 28" in in_toml.message
    assert (in_sheet.code, in_sheet.line) == ("INV-015", 3)
    assert f"{tmp_path / 'inventory.toml'}:28" in in_sheet.message


def test_codes_and_ids_stand_once(tmp_path: Path) -> None:
    block = GOOD[GOOD.index("[[authorisation]]") : GOOD.index("[[ministry]]")]
    text = GOOD + block + '[[ministry]]\ncode = "Finance"\nauthorisation = ["lc-2026-001"]\n'

    assert [(each.code, each.field) for each in problems_of(tmp_path, text)] == [
        ("INV-015", "authorisation[1].id"),
        ("INV-015", "ministry[1].code"),
    ]


def test_an_id_that_could_be_a_path_is_refused(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, GOOD.replace('"lc-2026-001"', '"../x"'))

    assert [(each.code, each.line) for each in problems] == [("INV-006", 13), ("INV-006", 24)]


def test_a_faulty_authorisation_is_not_called_unknown_too(tmp_path: Path) -> None:
    assert only_problem(tmp_path, GOOD.replace("2026-12-31", "1")).code == "INV-022"


def test_limits_are_raised_only_in_a_lab(tmp_path: Path) -> None:
    text = after("zones", "lab = true\nlimits = { connections_per_address = 8 }")

    inventory, _ = load(tmp_path, text)

    assert inventory.authorisations["lc-2026-001"].limits.connections_per_address == 8


LAB_PORT = '[[lab_port]]\naddress = "127.0.20.1"\nport = 53\nto = 20053\nproto = "both"\n'


def test_lab_ports_need_a_lab_authorisation_that_covers_them(tmp_path: Path) -> None:
    in_lab = after("zones", 'lab = true\nnetworks = ["127.0.20.0/24"]')

    inventory, _ = load(tmp_path, in_lab + LAB_PORT)

    assert inventory.lab_ports == (
        LabPort("127.0.20.1", 53, 20053, "tcp"),
        LabPort("127.0.20.1", 53, 20053, "udp"),
    )
    assert only_problem(tmp_path, in_lab.replace("lab = true", "") + LAB_PORT).code == "INV-027"
    assert only_problem(tmp_path, in_lab + LAB_PORT.replace("20.1", "21.1")).code == "INV-027"
    assert {each.code for each in problems_of(tmp_path, in_lab + LAB_PORT * 2)} == {"INV-015"}
    assert only_problem(tmp_path, in_lab + LAB_PORT.replace("to = 20053\n", "")).code == "INV-004"


@pytest.mark.parametrize(
    ("sheet", "code", "line"),
    [
        ("", "INV-030", None),
        ("kind\nhost\n", "INV-004", 1),
        ("name,name\na.example,b.example\n", "INV-015", 1),
        ("name,portz\na.example,443\n", "INV-003", 1),
        ("name,kind\na.example,host,80,443\n", "INV-030", 2),
        ('name\n"a.example\n', "INV-030", None),
        ("name,ministry\na.example,health\n", "INV-020", 2),
        ("name,criticality\na.example,high\n", "INV-005", 2),
        ("name,internal\na.example,perhaps\n", "INV-005", 2),
        ('name,kind\n"a\nb.example",host\n', "INV-007", 2),
        ('name,kind\n"b.example","ho\nst"\nc_d.example,host\n', "INV-007", 2),
        ("name,kind\n,host\n", "INV-004", 2),
    ],
)
def test_each_fault_of_a_sheet_is_told_at_its_row(tmp_path: Path, sheet: str, code: str, line: int | None) -> None:
    problem = problems_of(tmp_path, after('code = "finance"', 'assets = "s.csv"'), s=sheet)[0]

    assert (problem.code, problem.file, problem.line) == (code, str(tmp_path / "s.csv"), line)


def test_rows_after_a_cell_of_several_lines_keep_their_line(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path, after('code = "finance"', 'assets = "s.csv"'), s='name,kind\n"b.example","ho\nst"\nc_d.example,host\n'
    )

    assert [each.line for each in problems] == [2, 4]


def test_sheets_of_other_countries_are_read(tmp_path: Path) -> None:
    inventory, _ = load(
        tmp_path, after('code = "finance"', 'assets = "s.csv"'), s="name;ports\na.finance.gov.example;80 443\n"
    )

    assert inventory.assets[0].ports == (Port(80), Port(443))


def test_a_sheet_that_is_not_utf8_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes("name\na.example\né.example\n".encode("latin-1"))

    problem = only_problem(tmp_path, after('code = "finance"', 'assets = "s.csv"'))

    assert (problem.code, problem.line) == ("INV-030", 3)


def codes(tmp_path: Path, text: str, at: datetime = AT) -> list[tuple[str, int | None]]:
    _, warnings = load_inventory(write(tmp_path, text), at=at)
    assert all(each.warning for each in warnings)
    return [(each.code, each.line) for each in warnings]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("soc@cert.lc", "soc@cert.example", [("INV-104", 10)]),
        ("[operator]\n", "[x]\n", []),
        ('authorisation = ["lc-2026-001"]', "", [("INV-103", 21)]),
        ("2026-12-31", "2026-05-31", [("INV-101", 17)]),
        ("not_before = 2026-01-01", "not_before = 2026-06-02", [("INV-102", 16)]),
        ("2026-12-31", "2027-12-31", [("INV-106", 17)]),
        ('"Letter 41"', '"DRAFT: number"', [("INV-107", 15)]),
        ('reference = "Letter 41"', "", [("INV-108", 12)]),
    ],
)
def test_what_may_not_be_meant_is_a_warning(
    tmp_path: Path, old: str, new: str, expected: list[tuple[str, int | None]]
) -> None:
    if new == "[x]\n":
        assert codes(tmp_path, GOOD.replace('[operator]\nname = "CERT-LC"\ncontact = "soc@cert.lc"\n', "")) == [
            ("INV-104", None)
        ]
        return
    assert codes(tmp_path, GOOD.replace(old, new)) == expected


def test_dates_are_those_of_the_state(tmp_path: Path) -> None:
    """At 02:00 UTC on 1 January it is still 31 December in Saint Lucia."""
    assert codes(tmp_path, GOOD, datetime(2027, 1, 1, 2, tzinfo=UTC)) == []
    assert codes(tmp_path, GOOD, datetime(2027, 1, 1, 5, tzinfo=UTC)) == [("INV-101", 17)]


def test_names_outside_all_zones_are_a_warning_and_addresses_are_not(tmp_path: Path) -> None:
    text = with_asset('name = "www.notfinance.gov.example"') + '[[ministry.asset]]\nname = "198.51.100.7"\n'

    assert codes(tmp_path, text) == [("INV-105", 27)]


def test_the_summary_counts(tmp_path: Path) -> None:
    inventory, _ = load(tmp_path, with_asset('name = "www.finance.gov.example"'))

    assert summary(inventory) == "1 ministry, 1 asset (1 host), 1 authorisation"
