"""The lines that a remedy gives are lines that the server takes, and that mend the fault."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from posture.checks import Control, catalogue
from posture.checks.rule import Declared
from posture.judge import Docket, judge
from posture.model import Observed, Outcome
from posture.policy import load_policy
from tests.checks.tls.pki import AT, ROOT, issue
from tests.checks.tls.seen import NAME, WEB
from tests.lab import need
from tests.probes.tls.asking import ask, nginx

CONTROLS = [control for control in catalogue().values() if control.family == "tls"]
# Every fault that a configuration of nginx can have.
FAULTY = "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers ALL:@SECLEVEL=0; ssl_ecdh_curve secp224r1:prime256v1;"
# A line of another kind than a setting of TLS, one to be taken out, one that needs a newer OpenSSL than is everywhere, and
# one that only deep scans see.
_NO_SETTING = ("ssl_certificate ", "ssl_stapling", "-ExtendedMasterSecret", "MLKEM", "ssl_early_data")


def lines_of(control: Control, server: str) -> list[str]:
    """The configuration lines behind ``server:`` in a remedy."""
    found = re.search(rf"{server}: ((?:`[^`]+`(?:,? and )?)+)", control.remedy)
    return re.findall(r"`([^`]+)`", found.group(1)) if found else []


def settings() -> list[tuple[str, str]]:
    return [
        (control.id, line)
        for control in CONTROLS
        for line in lines_of(control, "nginx")
        if line.startswith("ssl_") and not any(word in line for word in _NO_SETTING)
    ]


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


@pytest.mark.parametrize(("control", "line"), settings(), ids=lambda value: value if value.startswith("tls.") else "")
def test_the_line_for_nginx_mends(control: str, line: str, faulty: dict[str, Outcome], tmp_path: Path) -> None:
    directive = line.split()[0]
    kept = "".join(f"{one};" for one in FAULTY.split(";") if one.strip() and one.split()[0] != directive)

    mended = outcomes(tmp_path, f"{kept} {line}")

    assert mended[control] in (Outcome.PASS, Outcome.NOT_APPLICABLE)
    assert faulty[control] in (Outcome.FAIL, Outcome.WARN, Outcome.PASS)


def test_the_faulty_server_shows_the_faults(faulty: dict[str, Outcome]) -> None:
    shown = {control for control, outcome in faulty.items() if outcome.is_open}

    expected = {"tls.protocol.legacy", "tls.protocol.tls13", "tls.cipher.insecure", "tls.cipher.cbc", "tls.kex.curves"}
    assert expected <= shown


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_the_lines_for_postfix_set_parameters_that_postfix_has(control: Control) -> None:
    names = [line.partition(" = ")[0] for line in lines_of(control, "Postfix") if " = " in line]
    if not names:
        return
    done = subprocess.run([need("postconf", "postfix"), "-d", *names], capture_output=True, text=True, check=False)

    assert "unknown parameter" not in done.stderr
    assert len(done.stdout.splitlines()) == len(names)
