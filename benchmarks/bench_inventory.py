"""CPU seconds to load an inventory of 5,000 assets: from a CSV sheet, and from tables of TOML.

Each load runs in this process, in turns, 5 times after one warm-up (process_time, medians). Every asset has a name of its
own, roles, criticality and ports; three in ten are zones. The goal is at most 2 s of CPU each.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from measure import cost_of_call, interleaved, median, say

from posture.inventory import load_inventory

ASSETS = 5000
ROUNDS = 5
GOAL = 2.0
HEAD = """\
format = "posture-inventory/1"
[state]
code = "LC"
name = "Saint Lucia"
timezone = "America/St_Lucia"
[operator]
name = "CERT-LC"
contact = "soc@cert.gov.example"
[[authorisation]]
id = "lc-2026-001"
owner = "Ministry of Finance"
officer = "Permanent Secretary"
basis = "consent"
reference = "Letter MF/ICT/2026/41"
not_before = 2026-01-01
not_after = 2026-12-31
classes = ["passive", "client", "active"]
zones = ["finance.gov.example"]
[[ministry]]
code = "finance"
name = "Ministry of Finance"
authorisation = ["lc-2026-001"]
"""


def rows() -> list[tuple[str, str, str, int, tuple[int, ...]]]:
    """(name, kind, role, criticality, ports)"""
    made: list[tuple[str, str, str, int, tuple[int, ...]]] = []
    for number in range(ASSETS):
        zone = number % 10 < 3
        kind, role = ("zone", "mail") if zone else ("host", "web")
        ports = () if zone else (80, 443, 8443)
        made.append((f"{kind}{number}.finance.gov.example", kind, role, 1 + number % 3, ports))
    return made


def in_sheet(folder: Path) -> Path:
    lines = ["name,kind,roles,criticality,ports"]
    lines += [f"{name},{kind},{role},{vital},{' '.join(map(str, ports))}" for name, kind, role, vital, ports in rows()]
    (folder / "assets.csv").write_text("\n".join(lines) + "\n", "utf-8")
    path = folder / "sheet.toml"
    path.write_text(f'{HEAD}assets = "assets.csv"\n', "utf-8")
    return path


def in_tables(folder: Path) -> Path:
    tables = [
        f'[[ministry.asset]]\nname = "{name}"\nkind = "{kind}"\nroles = ["{role}"]\ncriticality = {vital}\n'
        + (f"ports = {list(ports)}\n" if ports else "")
        for name, kind, role, vital, ports in rows()
    ]
    path = folder / "tables.toml"
    path.write_text(HEAD + "\n".join(tables), "utf-8")
    return path


def load(path: Path) -> None:
    inventory, _ = load_inventory(path)
    assert len(inventory.assets) == ASSETS


def main() -> int:
    print(f"bench_inventory: loading {ASSETS} assets, medians of {ROUNDS} interleaved loads")
    slowest = 0.0
    with tempfile.TemporaryDirectory() as made:
        paths = in_sheet(Path(made)), in_tables(Path(made))
        measured = [partial(cost_of_call, partial(load, path)) for path in paths]
        interleaved(measured, 1)
        for what, costs in zip(("from a sheet", "from TOML tables"), interleaved(measured, ROUNDS), strict=True):
            cpu = median(cost.cpu for cost in costs)
            slowest = max(slowest, cpu)
            say(f"{what}, CPU", f"{cpu:.2f} s", f"<= {GOAL:.0f} s")
    return int(slowest > GOAL)


if __name__ == "__main__":
    sys.exit(main())
