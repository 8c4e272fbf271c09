"""nmap: the real one within its budget, arguments that nothing can become, and XML of any kind."""

from __future__ import annotations

import asyncio
import re
import string
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.inventory.records import Limits
from posture.net.child import FRAGILE_PORTS, run_child
from posture.net.decisions import Decision
from posture.net.nmap import (
    MAX_XML_BYTES,
    NmapReport,
    NmapXmlError,
    PortReport,
    nmap_argv,
    nmap_connections,
    nmap_targets,
    parse_nmap_xml,
)
from posture.net.sandbox import Box
from tests.lab import free_port, need
from tests.net import desk, servers

BINARY = Path("/usr/bin/nmap")
SECONDS = 60.0
# All that an argument may look like.
GRAMMAR = re.compile(
    r"/usr/bin/nmap|-sT|--unprivileged|-Pn|-n|-6|-p|T:\d{1,5}(,\d{1,5})*|--exclude-ports|T:[\d,]+,U:[\d,]+"
    r"|--max-parallelism|--max-rate|--max-retries|--host-timeout|\d+s?|-sV|--version-intensity|--datadir"
    r"|/[a-z/]*/share/nmap|--no-stylesheet|-oX|-iL|-"
)
NEVER = {"-O", "-A", "-sC", "--script", "-T4", "-T5", "-sU", "-sS", "--privileged", "-iR", "--resume", "--proxies"}


def arguments(**changes: Any) -> list[str]:
    settings: dict[str, Any] = {"ports": (80, 443), "limits": Limits(), "version": 4, "seconds": 30.0, **changes}
    return nmap_argv(settings.pop("binary", BINARY), settings.pop("ports"), settings.pop("limits"), **settings)


def test_the_arguments_are_these() -> None:
    argv = arguments(services=True)
    fragile = "102,502,1911,2404,4840,9100,9101,9102,9103,9104,9105,9106,9107,20000,44818,47808"
    shown = " ".join(argv)

    assert shown.startswith("/usr/bin/nmap -sT --unprivileged -Pn -n -p T:80,443 ")
    assert f" --exclude-ports T:{fragile},U:{fragile} " in shown
    assert " --max-parallelism 1 --max-rate 10 --max-retries 1 --host-timeout 30s " in shown
    assert " -sV --version-intensity 2 " in shown
    assert shown.endswith(" --no-stylesheet -oX - -iL -")
    assert "-6" in arguments(version=6)
    assert "-sV" not in arguments()


@given(
    ports=st.lists(st.one_of(st.integers(), st.text(), st.floats(), st.booleans()), max_size=4),
    version=st.one_of(st.integers(3, 7), st.text(max_size=3)),
    rate=st.integers(-5, 5000),
    seconds=st.floats(0, 1e6),
    services=st.booleans(),
)
def test_nothing_but_the_grammar_ever_becomes_an_argument(
    ports: Sequence[Any], version: Any, rate: int, seconds: float, services: bool
) -> None:
    try:
        argv = arguments(
            ports=ports,
            version=version,
            limits=Limits(new_connections_per_second=rate),
            seconds=seconds,
            services=services,
        )
    except ValueError:
        return
    assert all(GRAMMAR.fullmatch(word) for word in argv), argv
    assert not NEVER.intersection(argv)


@pytest.mark.parametrize("ports", [[], [0], [65536], ["80"], [True], ["80 --script=x"], *[[p] for p in FRAGILE_PORTS]])
def test_what_is_no_port_or_a_fragile_one_is_refused_before_anything_starts(ports: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"port"):
        arguments(ports=ports)


def test_nmap_has_an_absolute_path() -> None:
    with pytest.raises(ValueError, match="absolute"):
        arguments(binary=Path("nmap"))


@pytest.mark.parametrize(
    "address",
    [
        "127.77.10.1 --script=x -oN/tmp/x",
        "127.77.10.1\n10.0.0.1",
        "127.77.10.1/24",
        "127.77.10.1-9",
        "www.finance.gov.example",
        "-iR 100",
        "fe80::1%eth0",
        "0x7f000001",
        "127.1",
        "",
        2130706433,
        b"127.0.0.1",
        None,
    ],
)
def test_what_is_no_literal_is_no_target(address: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        nmap_targets([address])


@given(st.one_of(st.text(), st.text(string.hexdigits + ".:/-% \n"), st.ip_addresses().map(str)))
def test_a_target_is_a_literal_and_nothing_else(text: str) -> None:
    try:
        lines = nmap_targets([text])
    except ValueError:
        return
    assert re.fullmatch(rb"[0-9a-f.:]+\n", lines)


def test_no_target_is_refused() -> None:
    with pytest.raises(ValueError, match="no address"):
        nmap_targets([])


# ---- the real one


def scanned(
    handlers: Sequence[servers.Handler], *, silent: int = 0, services: bool = False, **limits: Any
) -> tuple[NmapReport, list[tuple[int, int, int]]]:
    """nmap over listeners, closed and silent ports; its report, and (port, connections seen, budget) of each listener."""
    binary = Path(need("nmap", "nmap"))

    async def scenario() -> tuple[NmapReport, list[tuple[int, int, int]]]:
        decided: list[Decision] = []
        async with AsyncExitStack() as stack:
            seen = [await stack.enter_async_context(servers.tcp_server(handler)) for handler in handlers]
            mute = [stack.enter_context(servers.blackhole()) for _ in range(silent)]
            ports = [*(each.port for each in seen), *mute, free_port()]
            budget = {p: nmap_connections(binary, p, seconds=SECONDS, services=services) for p in ports}
            door = desk.broker(on_decision=decided.append).door(desk.task(), seconds=2 * SECONDS)
            ran = await run_child(
                door,
                "127.0.0.1",
                budget,
                lambda dialled: nmap_argv(
                    binary, dialled, Limits(**limits), version=4, seconds=SECONDS, services=services
                ),
                stdin=nmap_targets(["127.0.0.1"]),
                seconds=2 * SECONDS,
                box=Box(),
            )
            assert ran.succeeded, ran
            assert {decision.port: decision.connections for decision in decided} == budget
            return parse_nmap_xml(ran.stdout), [(each.port, each.connections, budget[each.port]) for each in seen]

    return asyncio.run(scenario())


def test_nmap_tells_open_closed_and_filtered_within_its_budget() -> None:
    report, counted = scanned([servers.hang_up, servers.silent], silent=1)

    states = sorted(each.state for each in report.ports)
    assert states == ["closed", "filtered", "open", "open"]
    for _, connections, budget in counted:
        assert 1 <= connections <= budget
    assert report.gave_up == ()


def test_nmap_never_has_more_than_one_connection_under_way_to_a_slow_address() -> None:
    most = 0
    open_now = 0

    async def handler(reader: Any, writer: Any) -> None:
        nonlocal most, open_now
        open_now += 1
        most = max(most, open_now)
        try:
            await reader.read()
        finally:
            open_now -= 1

    scanned([handler] * 4)
    assert most == 1


@pytest.mark.parametrize("handler", [servers.silent, servers.hang_up], ids=["silent", "hangs up"])
def test_asking_for_versions_stays_within_its_budget_when_nothing_matches(handler: servers.Handler) -> None:
    report, [(port, connections, budget)] = scanned([handler], services=True)

    assert [each.state for each in report.ports if each.port == port] == ["open"]
    assert 2 <= connections <= budget


def test_a_banner_gives_a_version() -> None:
    banner = servers.saying(b"220 mail.finance.gov.example ESMTP Postfix\r\n", ask=False, then=servers.silent)
    report, [(port, connections, budget)] = scanned([banner], services=True)

    found = next(each for each in report.ports if each.port == port)
    assert (found.service, found.product, found.method) == ("smtp", "Postfix smtpd", "probed")
    assert connections <= budget


def test_a_budget_counts_the_probes_registered_for_a_port() -> None:
    binary = Path(need("nmap", "nmap"))
    few, many = (nmap_connections(binary, port, seconds=10, services=True) for port in (40_123, 3389))

    assert few < many
    assert nmap_connections(binary, 443, seconds=10, services=False) < few


# ---- XML

HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE nmaprun>\n'
TAIL = b'<runstats><finished time="1" exit="success"/></runstats></nmaprun>'
HOST = (
    b'<nmaprun scanner="nmap"><host><status state="up"/><address addr="198.51.100.7" addrtype="ipv4"/>'
    b'<ports><port protocol="tcp" portid="25"><state state="open" reason="syn-ack"/>'
    b'<service name="smtp" product="Postfix smtpd" version="3" extrainfo="x" tunnel="ssl" method="probed" conf="10">'
    b"<cpe>cpe:/a:postfix:postfix</cpe></service></port></ports></host>"
)


def test_a_report_is_read() -> None:
    assert parse_nmap_xml(HEAD + HOST + TAIL).ports == (
        PortReport(
            "198.51.100.7",
            25,
            "tcp",
            "open",
            service="smtp",
            product="Postfix smtpd",
            version="3",
            extra="x",
            tunnel="ssl",
            method="probed",
            confidence=10,
            cpe=("cpe:/a:postfix:postfix",),
        ),
    )


def test_a_host_that_nmap_gave_up_is_named() -> None:
    host = b'<nmaprun><host timedout="true"><address addr="2001:db8::7" addrtype="ipv6"/></host>'
    assert parse_nmap_xml(HEAD + host + TAIL) == NmapReport((), ("2001:db8::7",))


LAUGHS = (
    b'<!DOCTYPE nmaprun [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><nmaprun>&j;</nmaprun>"
)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html/>",
        HEAD + HOST,
        HEAD + HOST + b"</nmaprun>",
        HEAD + HOST + TAIL.replace(b"success", b"error"),
        LAUGHS,
        b'<!DOCTYPE nmaprun SYSTEM "file:///etc/passwd"><nmaprun>' + TAIL,
        b'<!DOCTYPE nmaprun PUBLIC "x" "http://192.0.2.1/x"><nmaprun>' + TAIL,
        b'<!DOCTYPE nmaprun [<!ENTITY x SYSTEM "file:///etc/passwd">]><nmaprun>&x;' + TAIL,
        b"<!DOCTYPE nmaprun []><nmaprun>" + TAIL,
        b"<!DOCTYPE other><nmaprun>" + TAIL,
        HEAD + HOST.replace(b"198.51.100.7", b"www.gov.example") + TAIL,
        HEAD + HOST.replace(b'"25"', b'"65536"') + TAIL,
        HEAD + HOST.replace(b'"25"', '"٢٥"'.encode()) + TAIL,
        HEAD + HOST.replace(b'"open"', b'"ajar"') + TAIL,
        HEAD + HOST.replace(b"<address", b"<other") + TAIL,
        HEAD + b"<nmaprun>" + b"<a>" * 100_000 + b"</a>" * 100_000 + TAIL,
        HEAD + HOST + b" " * MAX_XML_BYTES + TAIL,
        HEAD.replace(b"UTF-8", b"UTF-7") + HOST.replace(b"smtp", b"\xff") + TAIL,
        HEAD + HOST[:170] + HOST[170:-7] * 1 + b"<port/>" + TAIL,
    ],
)
def test_what_is_no_report_is_refused(document: bytes) -> None:
    with pytest.raises(NmapXmlError):
        parse_nmap_xml(document)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_else(junk: bytes) -> None:
    for document in (junk, HEAD + junk, HEAD + HOST[:200] + junk + HOST[200:] + TAIL):
        with suppress(NmapXmlError):
            parse_nmap_xml(document)


@given(st.data())
def test_a_damaged_report_raises_nothing_else(data: st.DataObject) -> None:
    document = bytearray(HEAD + HOST + TAIL)
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(document)))
        document[start : start + data.draw(st.integers(0, 8))] = data.draw(
            st.sampled_from([b"", b"<", b"&amp;", b"\0", b'"', b"<port ", b"</host>", b"<!DOCTYPE x>", b"\xf0", b"-1"])
        )
    try:
        found = parse_nmap_xml(bytes(document))
    except NmapXmlError:
        return
    for report in found.ports:
        assert 0 <= report.port <= 65535
        assert all(len(text) <= 256 for text in (report.service, report.product, report.extra, *report.cpe))
