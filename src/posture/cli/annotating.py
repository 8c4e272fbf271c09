"""Exemptions and disputes: from options to the history and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from posture.cli.result import Result
from posture.cli.wiring import config_of, now
from posture.errors import UsageError

if TYPE_CHECKING:
    from posture.cli.app import Settings
    from posture.store import Store
    from posture.store.disputes import Dispute


def show_exemptions(settings: Settings, run: str | None, output: str) -> Result:
    """Those of today's file, else those on record; how much each of them is about."""
    from posture import history
    from posture.exempted import exempted, exemptions_file, exemptions_now
    from posture.store import Store
    from posture.store.exemptions import exemptions_of

    config = config_of(settings)
    entries = None if run else exemptions_now(config)
    if entries is not None and not config.db.is_file():
        zone = _timezone(settings)
        return Result(document=exempted(entries, (), now(), zone, file=exemptions_file(config)), format=output)
    with Store.open(config.db, write=False) as store:
        document = history.state(store, run=run, exemptions=entries, now=now())
        if document["run"] is None:
            return Result(document=exempted(entries or (), (), now(), _timezone(settings)), format=output)
        record = history.resolve_run(store, document["run"]["id"])
        recorded = exemptions_of(store.connection, record.number)
    found = exempted(
        recorded if entries is None else entries,
        document["findings"],
        record.end if run else now(),
        record.timezone,
        run=record.id if entries is None else None,
        file=None if entries is None else exemptions_file(config),
    )
    return Result(document=found, format=output)


def _timezone(settings: Settings) -> str:
    """The State's, before there is a history."""
    from posture.cli.wiring import inventory_of

    return inventory_of(settings, None)[0].state.timezone


def show_disputes(settings: Settings, ministries: Sequence[str], state: str | None, output: str) -> Result:
    from posture.disputed import disputes
    from posture.store import Store

    with Store.open(config_of(settings).db, write=False) as store:
        return Result(document=disputes(store, ministries=ministries, state=state), format=output)


def add_dispute(
    settings: Settings,
    asset: str,
    control: str,
    subject: str | None,
    by: str,
    reason: str,
    vantage: str | None,
    output: str,
) -> Result:
    from posture.disputed import dispute
    from posture.store import Store

    with Store.open(_existing(settings), write=True) as store:
        made = dispute(
            store,
            asset=asset.lower().rstrip("."),
            control=control,
            subject=subject,
            by=by,
            reason=reason,
            at=now(),
            vantage=vantage,
        )
        return _told(store, made, output, "recorded; shown beside the finding, which stays as it is")


def resolve_dispute(settings: Settings, name: str, decision: str, by: str, reason: str, output: str) -> Result:
    from posture.disputed import decide
    from posture.store import Store
    from posture.store.disputes import DECISIONS

    if decision not in DECISIONS:
        raise UsageError(f"no decision {decision!r}. Choose among {', '.join(DECISIONS)}.")
    with Store.open(_existing(settings), write=True) as store:
        made = decide(store, name, decision, by=by, reason=reason, at=now())
        return _told(store, made, output, "recorded; the finding stays as it is")


def _existing(settings: Settings) -> Path:
    """The history, which these commands do not create. Raises UsageError."""
    from posture.store.upkeep import schema_of

    path = config_of(settings).db
    schema_of(path)
    return path


def _told(store: Store, made: Dispute, output: str, words: str) -> Result:
    """A table is for people, who want to read what was done; else all that is known of it."""
    from posture.disputed import disputes

    if output == "table":
        return Result(text=f"{made.words}\n{made.id} {words}.\n")
    document = disputes(store)
    rows = [row for row in document["disputes"] if row["id"] == made.id]
    return Result(document={**document, "disputes": rows}, format=output)
