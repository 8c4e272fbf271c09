"""The line that shows a fault shows it on a real server; the settings that mend it are taken by the real program, and mend."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from posture.checks import Control, Declared, Reference, catalogue
from posture.checks.mending import SERVERS, line_of, place_of, shows_of
from posture.facts.suites import openssl_name, suites
from posture.judge import Docket, judge
from posture.model import Finding, Observed, Outcome, endpoint
from posture.policy import load_policy
from tests.checks.tls.pki import AT, DAY, MIDDLE, OTHER_ROOT, ROOT, Pair, issue
from tests.checks.tls.seen import NAME, WEB
from tests.doors import Place
from tests.lab import free_port, need, serve
from tests.probes.tls.asking import ask, nginx

CONTROLS = [control for control in catalogue().values() if control.family == "tls"]
WEB_ONLY = ("tls.https.available", "tls.https.redirect", "tls.hsts.policy", "tls.hsts.preload", "tls.early_data")
# Every fault that a configuration of nginx can have.
FAULTY = "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers ALL:@SECLEVEL=0; ssl_ecdh_curve secp224r1:prime256v1;"
# One that needs a newer OpenSSL than is everywhere, and those of another kind than a setting of TLS.
_NO_SETTING = ("MLKEM", "ssl_stapling", "ssl_certificate ")


def each(server: str) -> list[tuple[str, str]]:
    """(control, settings) for one server; nothing where there is no setting but a word about it."""
    found = ((control.id, control.mending.settings.get(server, "")) for control in CONTROLS)
    return [(name, text) for name, text in found if text and not text.startswith("#")]


def by_control(value: str) -> str:
    return value if value.startswith("tls.") and " " not in value else ""


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_every_control_says_how_to_see_it_and_how_to_mend_it(control: Control) -> None:
    settings = control.mending.settings
    mail = {"postfix"} | ({"windows"} if "windows" in settings else {"exchange"})
    web = {"nginx", "apache", "haproxy"} | ({"windows"} if "windows" in settings else {"iis"})

    assert control.mending.see
    assert (web if control.id in WEB_ONLY else web | mail) <= set(settings) <= set(SERVERS)
    assert "\n\n" not in control.mending.see


# ---- the settings are taken, and mend


def outcomes(folder: Path, lines: str) -> dict[str, Outcome]:
    chain, key = issue(NAME, ROOT, names=(NAME,)).write(folder, ROOT)
    with nginx(folder, chain, key, lines) as place:
        facts, legacy, _ = ask(place)
    answers = {("tls", WEB): Observed(facts, AT), ("tls_legacy", WEB): Observed(legacy, AT)}
    findings = judge(Docket("finance", Declared(NAME, "host"), answers), load_policy(), AT)
    return {finding.control: finding.outcome for finding in findings}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return outcomes(tmp_path_factory.mktemp("faulty"), FAULTY)


NGINX = [
    (control, text)
    for control, text in each("nginx")
    if text.startswith("ssl_") and not any(word in text for word in _NO_SETTING)
]


@pytest.mark.parametrize(("control", "text"), NGINX, ids=by_control)
def test_the_settings_for_nginx_mend(control: str, text: str, faulty: dict[str, Outcome], tmp_path: Path) -> None:
    directives = {line.split()[0] for line in text.splitlines()}
    kept = "".join(f"{one};" for one in FAULTY.split(";") if one.strip() and one.split()[0] not in directives)

    mended = outcomes(tmp_path, f"{kept} {text}")

    assert mended.get(control, Outcome.PASS) in (Outcome.PASS, Outcome.NOT_APPLICABLE)
    assert faulty.get(control) in (Outcome.FAIL, Outcome.WARN, Outcome.PASS, None)


def test_the_faulty_server_shows_the_faults(faulty: dict[str, Outcome]) -> None:
    shown = {control for control, outcome in faulty.items() if outcome.is_open}

    expected = {"tls.protocol.legacy", "tls.protocol.tls13", "tls.cipher.insecure", "tls.cipher.cbc", "tls.kex.curves"}
    assert expected <= shown


@pytest.mark.parametrize(("control", "text"), each("apache"), ids=by_control)
def test_apache_takes_the_settings(control: str, text: str, tmp_path: Path) -> None:
    if "MLKEM" in text or text.startswith("SSLCertificateFile"):
        return  # a newer OpenSSL than is everywhere, and a file
    binary, modules = need("apache2", "apache2"), Path("/usr/lib/apache2/modules")
    loaded = ("mpm_event", "authz_core", "socache_shmcb", "ssl", "md", "headers", "alias")
    known = "".join(f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in loaded)
    shared = "".join(f"{line}\n" for line in text.splitlines() if line.split()[0] in ("SSLStaplingCache", "MDomain"))
    own = "".join(f"{line}\n" for line in text.splitlines() if line not in shared)
    listen = own if own.startswith(("Listen", "MDPrivateKeys")) else f"Listen 127.0.0.1:{free_port()}\n"
    block = "" if own == listen else own.replace("shmcb:/run/apache2/", f"shmcb:{tmp_path}/")
    configuration = tmp_path / "apache2.conf"
    configuration.write_text(
        f"ServerName {NAME}\nServerRoot {tmp_path}\nPidFile {tmp_path}/pid\nErrorLog /dev/stderr\n{known}"
        f"{listen}{shared.replace('shmcb:/run/apache2/', f'shmcb:{tmp_path}/')}<VirtualHost *:443>\n{block}</VirtualHost>\n"
    )

    done = subprocess.run([binary, "-t", "-f", str(configuration)], capture_output=True, text=True, check=False)

    assert "Syntax OK" in done.stderr, f"{control}: {done.stderr}"


@pytest.mark.parametrize(("control", "text"), each("haproxy"), ids=by_control)
def test_haproxy_takes_the_settings(control: str, text: str, tmp_path: Path) -> None:
    if text.startswith("certbot") or "MLKEM" in text or "2.8 or newer" in text:
        return  # no setting, or one of a newer release than is everywhere
    chain, key = issue(NAME, ROOT, names=(NAME,)).write(tmp_path)
    (tmp_path / "NAME.pem").write_bytes(chain.read_bytes() + key.read_bytes())
    text = text.replace("/etc/haproxy/", f"{tmp_path}/")
    shared = "".join(f"  {line}\n" for line in text.splitlines() if line.startswith(("ssl-default", "tune.")))
    own = "".join(f"  {line}\n" for line in text.splitlines() if not line.startswith(("ssl-default", "tune.")))
    bind = "" if own.startswith("  bind") else f"  bind 127.0.0.1:{free_port()} ssl crt {tmp_path}/NAME.pem\n"
    configuration = tmp_path / "haproxy.cfg"
    limits = "defaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\n"
    configuration.write_text(f"global\n{shared}{limits}frontend web\n{bind}{own}")

    command: list[str | Path] = [need("haproxy", "haproxy"), "-c", "-f", configuration]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"{control}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize(("control", "text"), each("postfix"), ids=by_control)
def test_postfix_has_the_parameters(control: str, text: str) -> None:
    names = [line.partition(" = ")[0] for line in text.splitlines() if re.match(r"[a-z_]+ = ", line)]
    if not names:
        assert text.startswith(("certbot ", "apt-get ")), control
        return
    done = subprocess.run([need("postconf", "postfix"), "-d", *names], capture_output=True, text=True, check=False)

    # known to Postfix 3.9, not to that of every distribution
    newer = [name for name in names if name == "tls_config_file"]
    assert done.stderr.count("unknown parameter") <= len(newer)
    assert len(done.stdout.splitlines()) == len(names) - done.stderr.count("unknown parameter")


# ---- the lines show the faults


@dataclass(frozen=True)
class Shop:
    """A faulty server and what is found on it."""

    place: Place
    findings: dict[str, Finding]

    def line(self, control: str) -> tuple[str, str]:
        """The line, and what it must print."""
        mending, args = catalogue()[control].mending, self.findings[control].args
        return line_of(mending, NAME, endpoint(*self.place), args), shows_of(mending, args)


@contextmanager
def shop(folder: Path, leaf: Pair, above: tuple[Pair, ...], lines: str) -> Iterator[Shop]:
    chain, key = leaf.write(folder, *above)
    with nginx(folder, chain, key, lines) as place:
        facts, legacy, _ = ask(place)
        answers = {("tls", WEB): Observed(facts, AT), ("tls_legacy", WEB): Observed(legacy, AT)}
        docket = Docket("finance", Declared(NAME, "host"), answers)
        findings = judge(docket, load_policy(), AT, reference=Reference(ROOT.pem, "sha256:x"))
        yield Shop(place, {finding.control: finding for finding in findings})


def run(line: str, folder: Path) -> str:
    bundle = folder / "root.pem"
    bundle.write_bytes(ROOT.pem)
    environment = os.environ | {"CURL_CA_BUNDLE": str(bundle), "LC_ALL": "C"}
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, timeout=60, env=environment
    ).stdout


@pytest.fixture(scope="module")
def old_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Everything old that nginx and the distribution's OpenSSL can still do."""
    leaf = issue(NAME, ROOT, names=(NAME,), key=rsa.generate_private_key(65537, 2048), end=AT + 800 * DAY)
    lines = "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers ALL:@SECLEVEL=0; ssl_ecdh_curve secp224r1:secp256k1:prime256v1;"
    folder = tmp_path_factory.mktemp("old")
    group: list[str | Path] = [need("openssl", "openssl"), "dhparam", "-dsaparam", "-out", folder / "dh.pem", "1024"]
    subprocess.run(group, check=True, capture_output=True)
    with shop(folder, leaf, (ROOT,), f"{lines} ssl_dhparam {folder}/dh.pem;") as open_shop:
        yield open_shop


@pytest.fixture(scope="module")
def bad_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Out of date, for another name, by nobody's authority, with a key that is too short."""
    key = rsa.generate_private_key(65537, 1024)
    leaf = issue("other.gov.example", OTHER_ROOT, names=("other.gov.example",), key=key, end=AT - DAY)
    lines = "ssl_protocols TLSv1.2; ssl_ciphers DEFAULT:@SECLEVEL=0;"
    with shop(tmp_path_factory.mktemp("bad"), leaf, (), lines) as open_shop:
        yield open_shop


OLD = [
    "tls.protocol.legacy", "tls.protocol.tls13", "tls.cipher.insecure", "tls.cipher.cbc", "tls.cipher.forward_secrecy",
    "tls.kex.dh_group", "tls.kex.curves", "tls.kex.hash", "tls.cert.lifetime",
]  # fmt: skip


@pytest.mark.parametrize("control", OLD)
def test_the_line_shows_what_is_old(control: str, old_shop: Shop, tmp_path: Path) -> None:
    line, shows = old_shop.line(control)
    assert old_shop.findings[control].outcome.is_open
    assert shows
    assert shows in run(line.splitlines()[0], tmp_path), line


@pytest.mark.parametrize("control", ["tls.cert.expiry", "tls.cert.trust", "tls.cert.hostname", "tls.cert.key"])
def test_the_line_shows_what_is_wrong_with_a_certificate(control: str, bad_certificate: Shop, tmp_path: Path) -> None:
    line, shows = bad_certificate.line(control)
    told = run(line, tmp_path)
    assert bad_certificate.findings[control].outcome is Outcome.FAIL
    assert shows
    assert shows in told, line
    further = {"tls.cert.expiry": "notAfter=May 31", "tls.cert.trust": "code: 10", "tls.cert.key": "(1024 bit)"}
    assert further.get(control, "DNS:other.gov.example") in told


def test_the_line_shows_the_chain(tmp_path: Path) -> None:
    with shop(tmp_path, issue(NAME, MIDDLE, names=(NAME,)), (), "") as open_shop:
        line, _ = open_shop.line("tls.cert.chain")
        assert open_shop.findings["tls.cert.chain"].outcome is Outcome.FAIL
        told = run(line, tmp_path)
    assert re.findall(r"[si]:.*", told) == [f"s:CN = {NAME}", "i:CN = Example Issuing CA"]


def test_nmap_shows_what_openssl_has_given_up(old_shop: Shop, tmp_path: Path) -> None:
    need("nmap", "nmap")
    line = old_shop.line("tls.cipher.insecure")[0].splitlines()[1]
    assert "TLS_DH_anon_WITH_AES_128_CBC_SHA" in run(line, tmp_path)


def test_the_lines_for_pages_of_the_web(tmp_path: Path) -> None:
    need("curl", "curl")
    chain, key = issue(NAME, ROOT, names=(NAME,)).write(tmp_path, ROOT)
    hsts = catalogue()["tls.hsts.policy"].mending
    with nginx(tmp_path, chain, key, 'add_header Strict-Transport-Security "max-age=7" always;') as place:
        line = line_of(hsts, NAME, endpoint(*place), {})
        assert "max-age=7" in run(line, tmp_path)
    nowhere = line_of(catalogue()["tls.https.available"].mending, NAME, "", {"without": ["127.0.0.77"]})
    assert "--resolve www.gov.example:443:127.0.0.77" in nowhere
    assert "Failed to connect" in run(f"({nowhere}) 2>&1", tmp_path)
    plain = ("127.0.0.1", free_port())
    command: list[str | Path] = [need("python3", "python3"), "-m", "http.server", "--bind", plain[0], str(plain[1])]
    with serve([*command, "--directory", tmp_path], ready=plain):
        line = line_of(catalogue()["tls.https.redirect"].mending, NAME, endpoint(*plain), {})
        assert "200 OK" in run(line, tmp_path)


# ---- what a line is made of


@pytest.mark.parametrize(
    ("asset", "subject", "args", "expected"),
    [
        (NAME, "192.0.2.7:443/tcp", {}, f"-connect 192.0.2.7:443 -servername {NAME} -tls1_3"),
        (NAME, "[2001:db8::7]:993/tcp", {}, f"-connect [2001:db8::7]:993 -servername {NAME} -tls1_3"),
        (NAME, "192.0.2.7:143/tcp", {}, f"-connect 192.0.2.7:143 -servername {NAME} -starttls imap -tls1_3"),
        ("192.0.2.7", "192.0.2.7:443/tcp", {}, "-connect 192.0.2.7:443 -noservername -tls1_3"),
        ("gov.example", "mx:mail.gov.example:25", {}, "-connect mail.gov.example:25 -servername mail.gov.example -starttls smtp"),
    ],
)  # fmt: skip
def test_where_it_leads(asset: str, subject: str, args: dict[str, Any], expected: str) -> None:
    assert f"openssl s_client {expected}" in line_of(catalogue()["tls.protocol.tls13"].mending, asset, subject, args)


@pytest.mark.parametrize(
    ("asset", "subject"),
    [
        ("gov.example", "mx:$(reboot).example:25"),
        ("gov.example", "mx:a b:25"),
        ("gov.example", "mx:mail.gov.example:25;reboot"),
        ("gov.example", "mx:mail.gov.example:²5"),
        ("gov.example", "mx:-oops.example:25"),
        ("$(reboot)", WEB),
        ("", WEB),
        (NAME, "192.0.2.7:443"),
        (NAME, "$(reboot):443/tcp"),
        (NAME, ""),
        (NAME, "ns:ns1.gov.example"),
    ],
)
def test_no_line_where_a_name_is_not_plain(asset: str, subject: str) -> None:
    assert place_of(asset, subject, {}) is None
    assert line_of(catalogue()["tls.protocol.tls13"].mending, asset, subject, {}) == ""


@pytest.mark.parametrize("args", [{}, {"suites": ["$(reboot)"]}, {"suites": ["TLS_RSA_EXPORT_WITH_RC4_40_MD5"]}])
def test_no_line_for_a_suite_that_nobody_knows_by_name(args: dict[str, Any]) -> None:
    mending = catalogue()["tls.cipher.cbc"].mending
    assert line_of(mending, NAME, WEB, args) == ""
    assert shows_of(mending, args) == ""


def test_suites_are_called_as_openssl_calls_them() -> None:
    command = [need("openssl", "openssl"), "ciphers", "-stdname", "-v", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    named = {line.split()[0]: line.split()[2] for line in listed.splitlines()}
    known = {name: openssl_name(name) for name in named if name in suites()}
    assert len([name for name, own in known.items() if own]) > 80
    assert {name: own for name, own in known.items() if own and own != named[name]} == {}
    assert openssl_name("TLS_AES_128_GCM_SHA256") == openssl_name("SSL_CK_RC4_128_WITH_MD5") == openssl_name("?") == ""
