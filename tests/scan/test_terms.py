"""The terms of a run: the same in every process, and bounded without somebody to ask."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import certifi
import pytest

from posture.checks import Reference
from posture.checks.tls.x509 import root_certificates
from posture.config import Config
from posture.errors import NothingToScan
from posture.inventory import load_inventory
from posture.model import ProbeClass, Reason
from posture.net import tls
from posture.net.decisions import Decider
from posture.net.resolver import RunResolver
from posture.plan import Plan, Selection
from posture.scan import Terms, prepare
from posture.scan.terms import trust_store
from posture.scope import Grant, Refusal

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "inventories" / "lc.toml"
AT = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def test_the_digest_of_the_authorisations_is_the_same_in_every_process() -> None:
    script = (
        "import sys; from pathlib import Path; from posture.inventory import load_inventory;"
        "from posture.scan.terms import authorisation_digest;"
        "print(authorisation_digest(load_inventory(Path(sys.argv[1]))[0]))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script, str(EXAMPLE)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(digests) == 1


PLACEHOLDER = """\
format = "posture-inventory/1"
[state]
code = "ZZ"
name = "Example Islands"
timezone = "UTC"
[operator]
name = "CERT"
contact = "soc@cert.example"
[[authorisation]]
id = "a-1"
owner = "Ministry"
officer = "PS"
basis = "consent"
reference = "L-1"
not_before = 2026-01-01
not_after = 2026-12-31
classes = ["client"]
zones = ["gov.example"]
networks = ["127.0.30.0/24", "203.0.114.0/24"]
lab = true
[[ministry]]
code = "m"
name = "Ministry"
authorisation = "a-1"
[[ministry.asset]]
name = "www.gov.example"
"""
# The same owner's machines outside of a lab, under a letter of their own.
PUBLIC = PLACEHOLDER.replace(
    "[[ministry]]",
    """
[[authorisation]]
id = "a-2"
owner = "Ministry"
officer = "PS"
basis = "consent"
reference = "L-2"
not_before = 2026-01-01
not_after = 2026-12-31
classes = ["passive", "client"]
zones = ["public.gov.test"]
networks = ["203.0.114.0/24"]
[[ministry]]""",
).replace('authorisation = "a-1"', 'authorisation = ["a-1", "a-2"]')


def placeholder_terms(folder: Path, text: str = PLACEHOLDER, *, lab: bool = True) -> Terms:
    path = folder / "inventory.toml"
    path.write_text(text)
    inventory, _ = load_inventory(path, at=AT)
    return prepare(Config(None, path, folder / "p.db"), inventory, Selection(), lab=lab)


def decided(decider: Decider, address: str | None, name: str = "www.gov.example", **changes: Any) -> Grant | Refusal:
    question: dict[str, Any] = {
        "ministry": "m",
        "name": name,
        "address": address,
        "port": None if address is None else 443,
        "protocol": "tcp",
        "probe_class": ProbeClass.CLIENT,
        "at": AT,
    }
    return decider.decide(**(question | changes))


def test_with_a_placeholder_contact_only_lab_addresses_are_asked(tmp_path: Path) -> None:
    decider = placeholder_terms(tmp_path).decider()

    assert isinstance(decided(decider, "127.0.30.7"), Grant)
    # Where another host of the lab is, our own resolver may be asked.
    assert isinstance(decided(decider, None), Grant)
    refusal = decided(decider, "203.0.114.7")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.reason) == ("E-SCOPE-005", Reason.NOT_GRANTED)


def test_with_a_placeholder_contact_a_lab_does_not_open_the_way_to_others(tmp_path: Path) -> None:
    decider = placeholder_terms(tmp_path, PUBLIC).decider()
    name = "www.public.gov.test"
    server = {"port": 53, "probe_class": ProbeClass.PASSIVE, "nameserver_of": "public.gov.test"}

    for answer in (
        decided(decider, "203.0.114.7", name),
        decided(decider, None, name),
        decided(decider, "192.0.9.53", "public.gov.test", **server),
    ):
        assert isinstance(answer, Refusal)
        assert answer.code == "E-SCOPE-005"
    real = placeholder_terms(tmp_path, PUBLIC.replace("soc@cert.example", "soc@cert.lc")).decider()
    assert isinstance(decided(real, "203.0.114.7", name), Grant)
    assert isinstance(decided(real, "192.0.9.53", "public.gov.test", **server), Grant)


def test_with_a_placeholder_contact_lab_addresses_need_lab_too(tmp_path: Path) -> None:
    terms = placeholder_terms(tmp_path, lab=False)

    assert isinstance(decided(terms.decider(), "127.0.30.7"), Refusal)
    assert isinstance(decided(terms.decider(), None), Refusal)
    with pytest.raises(NothingToScan, match="placeholder"):
        terms.must_be_allowed(AT)


def test_the_plan_shows_what_a_placeholder_contact_refuses(tmp_path: Path) -> None:
    asset = '[[ministry.asset]]\nname = "203.0.114.7"\nkind = "address"\nports = [443]\n'
    terms = placeholder_terms(tmp_path, PLACEHOLDER.partition("[[ministry.asset]]")[0] + asset)

    async def scenario() -> Plan:
        return await terms.plan(RunResolver("127.0.0.1", 9, tries=(0.05,)), AT)

    plan = asyncio.run(scenario())
    assert plan.tasks == ()
    refused = {refusal.code for refusal in plan.refusals if refusal.probe_class is ProbeClass.CLIENT}
    assert refused == {"E-SCOPE-005"}


# ---- the trust store


def test_the_store_says_which_it_is_and_of_when(tmp_path: Path) -> None:
    public = trust_store(None)
    assert public.roots.startswith(f"# certifi {certifi.__version__}\n".encode())
    assert public.roots_digest == f"sha256:{hashlib.sha256(public.roots).hexdigest()}"
    assert public.store == f"certifi {certifi.__version__}, {public.roots_digest[:19]}"
    assert not public.private_roots

    own = tmp_path / "own\n\u00e9.pem"
    own.write_bytes(Path(certifi.where()).read_bytes())
    of_ours = trust_store(own)
    assert of_ours.private_roots
    assert of_ours.store == f"own??.pem, {of_ours.roots_digest[:19]}"
    assert len(root_certificates(of_ours.roots)) == len(root_certificates(own.read_bytes())) > 50
    assert tls.trust_store(of_ours.roots)


def test_a_store_recorded_before_it_had_a_name_is_known_by_its_digest() -> None:
    assert (
        Reference(b"\n# Issuer: CN=Example\n-----BEGIN", "sha256:0123456789abcdef0123").store == "sha256:0123456789ab"
    )
    assert Reference().store == ""
