"""Every day, and in an emergency: stop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posture.cli.app import DAILY, app, settings_of
from posture.cli.result import Result
from posture.errors import ConfigurationError, PostureError, UsageError

if TYPE_CHECKING:
    from posture.cli.app import Settings
    from posture.stop import Order, Orders, StopFile


@app.command(
    rich_help_panel=DAILY,
    short_help="The kill switch: stops running scans.",
    epilog='Example: posture stop --address 198.51.100.7 --reason "owner complained, ticket 12"',
)
def stop(
    ctx: typer.Context,
    authorisation: Annotated[
        str | None, typer.Option("--authorisation", metavar="ID", help="Only what this authorisation covers.")
    ] = None,
    address: Annotated[str | None, typer.Option("--address", metavar="ADDR", help="Only this address.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; shown to everybody.")] = None,
    lift: Annotated[bool, typer.Option("--lift", help="Take orders back: those named, else all.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say what is stopped; changes nothing.")] = False,
    output: Annotated[str, typer.Option("--format", metavar="table|json", help="Of stdout.")] = "table",
) -> Result:
    """The kill switch. Running scans on this database stop within 2 seconds, and new ones refuse, until --lift.

    Without --authorisation or --address everything stops; with both, both do. Orders add up. The order is a file beside
    the database, NAME.db.stop: writing anything into it by hand stops everything too. --lift exits 0 also when there
    was nothing to lift.
    """
    from posture.stop import spelt

    settings = settings_of(ctx)
    _check_usage(reason, lift=lift, status=status, narrowed=bool(authorisation or address))
    _check_words(authorisation, output)
    literal = spelt(address) if address is not None else None
    database, remark = _database(settings)
    if status:
        return _status(database, output, remark)
    if lift:
        return _lifted(database, authorisation, literal, output, remark)
    return _stopped(settings, database, (authorisation, literal, reason or ""), output, remark)


def _check_usage(reason: str | None, *, lift: bool, status: bool, narrowed: bool) -> None:
    """Raises UsageError: options that do not go together, or no reason."""
    if lift and status:
        raise UsageError("--lift and --status exclude each other. Choose one.")
    if status and narrowed:
        raise UsageError("--status lists every order. Leave --authorisation and --address out.")
    if (lift or status) and reason is not None:
        raise UsageError("--reason belongs to stopping. Leave it out with --lift and --status.")
    if not lift and not status and not (reason or "").strip():
        raise UsageError('stopping needs a reason, which whoever scans will read. Add --reason "TEXT".')


def _check_words(authorisation: str | None, output: str) -> None:
    if output not in ("table", "json"):
        raise UsageError(f"no format {output!r}. Choose table or json.")
    if authorisation is not None and not authorisation.strip():
        raise UsageError("--authorisation needs an id. Leave it out to stop everything.")


def _database(settings: Settings) -> tuple[Path, str]:
    """Where the history is. A broken configuration is no reason not to stop, when --db says where."""
    from posture.cli.wiring import config_of

    try:
        return config_of(settings).db, ""
    except ConfigurationError as fault:
        if settings.db is None:
            raise ConfigurationError(
                f"{fault}\nIn an emergency name the database instead: posture stop --db PATH."
            ) from None
        return settings.db, f"warning: {fault} --db was used all the same.\n"


def _status(database: Path, output: str, remark: str) -> Result:
    from posture.stop import StopFile, as_document

    file = StopFile(database)
    return Result(document=as_document(file.orders()), format=output, remark=remark + _no_database(database, file))


def _lifted(database: Path, authorisation: str | None, address: str | None, output: str, remark: str) -> Result:
    from posture.stop import StopFile

    file = StopFile(database)
    lifted = file.lift(authorisation, address)
    lines = [f"lifted: {_target(order)} (was: {_said(order)})\n" for order in lifted]
    if not lifted:
        named = " and ".join(filter(None, (authorisation, address)))
        lines = [f"nothing to lift: {named or database} is not stopped{' by an order of its own' if named else ''}\n"]
    left = file.orders()
    lines += [f"still stopped: {_target(order)} ({_said(order)})\n" for order in left.given]
    return _result(left, "".join(lines), output, remark)


def _stopped(
    settings: Settings, database: Path, order: tuple[str | None, str | None, str], output: str, remark: str
) -> Result:
    from posture.cli.wiring import now
    from posture.stop import REASON_CHARACTERS, Order, StopFile, account

    authorisation, address, reason = order
    targets = [(one, two) for one, two in ((authorisation, None), (None, address)) if one or two] or [(None, None)]
    why, who, when = reason.strip()[:REASON_CHARACTERS], account(), now().replace(microsecond=0)
    file = StopFile(database)
    # The order first: whatever there is to be said about it comes after.
    left = file.add(*(Order(why, who, when, one, two) for one, two in targets))
    text = "".join(f"stopped: {_target(each)} ({_said(each)})\n" for each in left.given)
    text += f"Running scans on {database} stop within 2 seconds, new ones refuse. To go on: posture stop --lift\n"
    return _result(left, text, output, remark + _doubts(settings, database, file, authorisation))


def _result(orders: Orders, text: str, output: str, remark: str) -> Result:
    """A table is for people, who want to read what was done; JSON is what is in force now."""
    from posture.stop import as_document

    if output == "table":
        return Result(text=text, remark=remark)
    return Result(document=as_document(orders), format=output, remark=remark)


def _target(order: Order) -> str:
    return " and ".join(filter(None, order.target)) or "everything"


def _said(order: Order) -> str:
    when = f"{order.at:%Y-%m-%d %H:%M} UTC" if order.at else ""
    return ", ".join(filter(None, (f'"{order.reason}"', f"by {order.by}" if order.by else "", when)))


def _doubts(settings: Settings, database: Path, file: StopFile, authorisation: str | None) -> str:
    """Warnings after the fact: no such database, no such authorisation."""
    doubts = _no_database(database, file)
    if authorisation is not None:
        doubts += _unknown(settings, authorisation)
    return doubts


def _no_database(database: Path, file: StopFile) -> str:
    """A warning to who stands in the wrong folder."""
    if database.exists():
        return ""
    return f"warning: there is no database {database} yet: {file.path} stops scans on that one only. See --db.\n"


def _unknown(settings: Settings, authorisation: str) -> str:
    """A warning when the inventory does not know the authorisation; an order about it is given all the same."""
    from posture.cli.wiring import inventory_of

    try:
        inventory, _ = inventory_of(settings, None)
    except PostureError:
        return f"warning: no inventory could be read, so that {authorisation!r} was not checked.\n"
    if authorisation in inventory.authorisations:
        return ""
    known = ", ".join(inventory.authorisations) or "none"
    return (
        f"warning: {inventory.path} knows no authorisation {authorisation!r}; the order was given all the same. "
        f"There are: {known}.\n"
    )
