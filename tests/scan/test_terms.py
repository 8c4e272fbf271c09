"""The terms of a run: the same in every process, and bounded without somebody to ask."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from posture.config import Config
from posture.inventory import load_inventory
from posture.model import ProbeClass, Reason
from posture.plan import Selection
from posture.scan import prepare
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


def test_with_a_placeholder_contact_only_lab_addresses_are_asked(tmp_path: Path) -> None:
    text = """
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
    path = tmp_path / "inventory.toml"
    path.write_text(text)
    inventory, _ = load_inventory(path, at=AT)
    decider = prepare(Config(None, path, tmp_path / "p.db"), inventory, Selection(), lab=True).decider()

    def decided(address: str) -> Grant | Refusal:
        return decider.decide(
            ministry="m",
            name="www.gov.example",
            address=address,
            port=443,
            protocol="tcp",
            probe_class=ProbeClass.CLIENT,
            at=AT,
        )

    assert isinstance(decided("127.0.30.7"), Grant)
    refusal = decided("203.0.114.7")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.reason) == ("E-SCOPE-005", Reason.NOT_GRANTED)
