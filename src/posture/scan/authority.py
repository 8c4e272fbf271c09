"""Which authorisations grant nothing from the start: not signed by enough people, or superseded by a newer letter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from posture.config import Config
from posture.inventory.records import Inventory
from posture.scope import REASONS, SUPERSEDED, UNSIGNED, Refusal
from posture.signatures import Authority, authority, lacking, superseded
from posture.store.authority import seen_before


def authorities_of(inventory: Inventory, config: Config) -> tuple[Authority, ...]:
    """Every authorisation as signed."""
    return tuple(authority(each, inventory.state, config.trusted_signers) for each in inventory.authorisations.values())


def barred_by(config: Config, authorities: Iterable[Authority]) -> dict[str, Refusal]:
    """Refusals by authorisation, from the configuration and what the history remembers.

    Raises:
        UsageError, StoreError: the history cannot be read.
    """
    seen = seen_before(config.db)
    threshold = config.signature_threshold if config.require_signatures else 0
    found: dict[str, Refusal] = {}
    for one in authorities:
        code, text = UNSIGNED, lacking(one, config.trusted_signers, threshold)
        if not text:
            code, text = SUPERSEDED, superseded(one, seen)
        if text:
            found[one.authorisation] = Refusal(code, REASONS[code], text, one.authorisation)
    return found


def remarks(authorities: Iterable[Authority], barred: Mapping[str, Refusal]) -> tuple[str, ...]:
    """Signatures that do not count, under authorisations that hold without them."""
    return tuple(
        f"{fault} {_consequence(one)}" for one in authorities if one.authorisation not in barred for fault in one.faults
    )


def _consequence(one: Authority) -> str:
    counts = f"counts as signed by {', '.join(one.signers)}" if one.signers else "counts as unsigned"
    return (
        f"The authorisation {counts}. If that is not meant, have the text of "
        f"'posture inventory statement {one.authorisation}' signed, and list the signer's key in trusted_signers."
    )
