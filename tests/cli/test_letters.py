"""``posture inventory statement`` and ``posture attribution``; what doctor and plan say of signatures."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from posture.facts.parse_securitytxt import parse
from posture.inventory import load_inventory
from posture.inventory.statement import statement
from posture.reporters.attribution import VALID_DAYS, probing_txt
from tests.cli.line import posture
from tests.inventory.documents import AT, GOOD, write
from tests.lab import need
from tests.test_sshsig import KINDS, make_key


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write(tmp_path)


def test_a_statement_goes_to_stdout_as_it_is_signed(inventory: Path) -> None:
    loaded, _ = load_inventory(inventory)
    said = posture("inventory", "statement", "lc-2026-001")

    assert (said.code, said.out.encode()) == (0, statement(loaded.authorisations["lc-2026-001"], loaded.state))
    assert said.err.startswith("Next: ")
    assert posture("-q", "inventory", "statement", "lc-2026-001", inventory).err == ""


def test_the_whole_way_of_a_letter(inventory: Path) -> None:
    key = make_key(inventory.parent, *KINDS["ed25519"])
    signer = key.with_suffix(".pub").read_text("ascii").strip()
    config = inventory.with_name("posture.toml")
    config.write_text(
        f'require_signatures = true\ntrusted_signers = ["ps-finance {signer}"]\nresolver = "127.0.0.1:9"\n'
    )
    assert posture("inventory", "statement", "lc-2026-001", "--out", "letter.txt").out == "wrote letter.txt\n"
    argv = [need("ssh-keygen", "openssh-client"), "-Y", "sign", "-q", "-n", "posture-authorisation", "-f", str(key)]
    subprocess.run([*argv, "letter.txt"], check=True)
    asset = '[[ministry.asset]]\nname = "198.51.100.7"\nkind = "address"\n'
    unsigned, signed = GOOD + asset, GOOD.replace("owner =", 'signatures = ["letter.txt.sig"]\nowner =') + asset

    write(inventory.parent, unsigned)
    codes = {each["code"] for each in posture("plan", "--format", "json").document["refusals"]}
    checked = posture("inventory", "check")
    write(inventory.parent, signed)
    checked_signed = posture("inventory", "check")
    codes_signed = {each["code"] for each in posture("plan", "--format", "json").document["refusals"]}

    assert codes == {"E-SCOPE-002"}
    assert (checked.code, "warning: E-SCOPE-002 lc-2026-001: 0 of 1 required" in checked.err) == (0, True)
    assert (checked_signed.code, "E-SCOPE-002" in checked_signed.err) == (0, False)
    assert codes_signed
    assert "E-SCOPE-002" not in codes_signed
    said = posture("doctor")
    assert re.search(r"ok +signatures +1 needed; trusted signers: ps-finance", said.out)
    assert re.search(r"ok +canaries +none; ", said.out)


def test_a_signature_that_does_not_count_is_a_warning_of_plan(inventory: Path) -> None:
    inventory.with_name("x.sig").write_text("scribble")
    write(inventory.parent, GOOD.replace("owner =", 'signatures = ["x.sig"]\nowner ='))
    said = posture("plan", "--resolver", "127.0.0.1:9")

    assert said.code == 0
    assert "warning: lc-2026-001: the signature x.sig does not count: it is not what ssh-keygen" in said.err


def test_an_unknown_authorisation_and_a_file_that_cannot_be_written(inventory: Path) -> None:
    said = posture("inventory", "statement", "lc-2026-01")
    assert (said.code, said.out) == (2, "")
    assert "Did you mean 'lc-2026-001'? Known: lc-2026-001." in said.err

    said = posture("inventory", "statement", "lc-2026-001", "--out", "no/such/folder")
    assert said.code == 2
    assert "Choose another file with --out." in said.err


# ---- probing.txt (RFC 9511)


def attributed(tmp_path: Path, contact: str = "soc@cert.lc", url: str = "") -> str:
    text = GOOD.replace('contact = "soc@cert.lc"', f'contact = "{contact}"\nurl = "{url}"')
    return probing_txt(load_inventory(write(tmp_path, text), at=AT)[0], AT)


def test_probing_txt_has_the_fields_of_the_standard(tmp_path: Path) -> None:
    lines = attributed(tmp_path, url="https://cert.lc/scanning").splitlines()
    fields = dict(line.split(": ", 1) for line in lines)

    assert list(fields) == ["Canonical", "Contact", "Expires", "Preferred-Languages", "Description"]
    assert fields["Canonical"] == "https://cert.lc/.well-known/probing.txt"
    assert fields["Contact"] == "mailto:soc@cert.lc"
    expires = datetime.fromisoformat(fields["Expires"])
    assert AT < expires == AT + timedelta(days=VALID_DAYS) < AT + timedelta(days=365)
    assert "CERT-LC looks at systems of Saint Lucia" in fields["Description"]
    assert fields["Description"].endswith("More: https://cert.lc/scanning")
    parsed = parse("\n".join(lines))  # the same grammar: RFC 9116
    assert (parsed.contacts, parsed.canonical, parsed.expires) == (
        ("mailto:soc@cert.lc",),
        ("https://cert.lc/.well-known/probing.txt",),
        expires,
    )


@pytest.mark.parametrize(
    ("contact", "uri"),
    [
        ("https://cert.lc/contact", "https://cert.lc/contact"),
        ("+1 758 555 0100", "tel:+1-758-555-0100"),
        ("a%b?c@cert.lc", "mailto:a%25b%3Fc@cert.lc"),
    ],
)
def test_a_contact_becomes_a_uri(tmp_path: Path, contact: str, uri: str) -> None:
    text = attributed(tmp_path, contact)

    assert f"\nContact: {uri}\n" in f"\n{text}"
    assert "Canonical" not in text


def test_attribution_writes_it(inventory: Path) -> None:
    said = posture("attribution", "--out", "probing.txt")

    assert (said.code, said.out) == (0, "wrote probing.txt\n")
    assert ".well-known/probing.txt" in said.err
    expires = re.search(r"^Expires: (.*)$", inventory.with_name("probing.txt").read_text("utf-8"), re.MULTILINE)
    assert expires
    assert datetime.now(UTC) < datetime.fromisoformat(expires[1]) < datetime.now(UTC) + timedelta(days=365)
    assert posture("attribution", inventory, "--out", "-").out.startswith("Contact: mailto:")


@pytest.mark.parametrize("contact", ["", "soc@cert.example", "soc@cert.test", "soc@cert.invalid", "the office"])
def test_nobody_real_is_refused_with_the_next_step(inventory: Path, contact: str) -> None:
    write(inventory.parent, GOOD.replace("soc@cert.lc", contact))
    said = posture("attribution", inventory, "--out", "probing.txt")

    assert said.code == 2
    assert "Set [operator] contact in " in said.err
    assert not inventory.with_name("probing.txt").exists()
