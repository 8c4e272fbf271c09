"""What a run looks at: selectors over the inventory and the catalogue, and the profile of probe classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from posture.checks import Control, catalogue
from posture.errors import UsageError
from posture.inventory.records import Asset, Inventory
from posture.model import ProbeClass
from posture.policy import Policy

PROFILES: Mapping[str, frozenset[ProbeClass]] = {
    "passive": frozenset({ProbeClass.PASSIVE}),
    "standard": frozenset({ProbeClass.PASSIVE, ProbeClass.CLIENT, ProbeClass.ACTIVE}),
    "deep": frozenset(ProbeClass),
}
# The selectors of --check, with the prefixes of control ids as second names.
CHECKS: Mapping[str, str] = {
    "tls": "tls",
    "dns": "dns",
    "email": "email",
    "mail": "email",
    "web": "web",
    "services": "services",
    "svc": "services",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """What a run looks at. Empty means all; ``controls`` are globs over ids; ``all_suites``: long lists of TLS suites too,
    to their ends, which deep runs do anyway."""

    ministries: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    profile: str = "standard"
    all_suites: bool = False

    @property
    def narrowed(self) -> bool:
        """Whether a selector leaves something of the inventory or the catalogue out."""
        return bool(self.ministries or self.assets or self.checks or self.controls)

    @property
    def classes(self) -> frozenset[ProbeClass]:
        """The classes of the profile; intrusive only for assets that were named one by one."""
        chosen = PROFILES[self.profile]
        return chosen if self.assets else chosen - {ProbeClass.INTRUSIVE}

    @property
    def deep(self) -> bool:
        return self.profile == "deep"

    def wants(self, asset: Asset) -> bool:
        return (not self.ministries or asset.ministry in self.ministries) and (
            not self.assets or asset.name in self.assets
        )

    def chosen_controls(self, policy: Policy) -> tuple[Control, ...]:
        """The policy's built controls that the selectors leave, in the policy's order."""
        families = {CHECKS[check] for check in self.checks}
        shipped = catalogue()
        return tuple(
            control
            for name in policy.controls
            if (control := shipped.get(name))
            and (not families or control.family in families)
            and (not self.controls or any(fnmatchcase(name, glob) for glob in self.controls))
        )


def check_selection(selection: Selection, inventory: Inventory, policy: Policy) -> None:
    """Refuses selectors that match nothing.

    Raises:
        UsageError: naming what is wrong and what there is.
    """
    codes = [ministry.code for ministry in inventory.ministries]
    for code in selection.ministries:
        if code not in codes:
            raise UsageError(f"no ministry {code!r} in {inventory.path}. There are: {', '.join(codes) or 'none'}.")
    names = {asset.name for asset in inventory.assets}
    for name in selection.assets:
        if name not in names:
            raise UsageError(f"no asset {name!r} in {inventory.path}. 'posture plan' lists them.")
    for check in selection.checks:
        if check not in CHECKS:
            raise UsageError(f"no check {check!r}. Choose among {', '.join(CHECKS)}.")
    if not selection.chosen_controls(policy):
        raise UsageError("the selectors leave no control. 'posture controls' lists the ids.")
