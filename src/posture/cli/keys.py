"""The operator's key: keys new, rotate, show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posture.cli.app import UPKEEP, app, settings_of
from posture.cli.result import Result

if TYPE_CHECKING:
    from posture.keys import PublicKey

keys = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys, name="keys", rich_help_panel=UPKEEP, help="The operator's key, which signs audit and history.")


@keys.command("new", short_help="Make a key; never over another.", epilog="Example: posture keys new --out cert.key")
def keys_new(
    ctx: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: where scans look for the key.")
    ] = None,
) -> Result:
    """Make the operator's key (Ed25519), readable by you alone. The first scan makes one by itself."""
    from posture.cli.wiring import config_of
    from posture.keys import key_path, make_key

    config = config_of(settings_of(ctx))
    path = key_path(config.db, config.key)
    made = make_key(out or path)
    remark = ""
    if made.path.absolute() != path.absolute():
        remark = f"Scans use {path}. To use this one: key = {str(made.path.absolute())!r} in posture.toml.\n"
    return Result(text=_shown(made.path, made.public.fingerprint, made.public.openssh), remark=remark)


@keys.command("rotate", short_help="A new key, vouched for by the old.", epilog="Example: posture keys rotate")
def keys_rotate(ctx: typer.Context) -> Result:
    """Change the operator's key. Ledger and audit trail say so, signed by both keys, so that older evidence stays good.

    The former key stays beside it, since only that one can go on with a backup from before; destroy it when it was stolen.
    Interrupted, it is finished by running it again.
    """
    from posture.cli.wiring import config_of, now
    from posture.reporters.cells import terminal
    from posture.scan.rotation import rotate_key

    done = rotate_key(config_of(settings_of(ctx)), now)
    both = [name for name, there in (("the ledger", done.ledger), ("the audit trail", done.trail)) if there]
    former = f"former       {done.old.fingerprint}\nkept in      {terminal(str(done.archive))}\n"
    text = former + _shown(done.path, done.new.fingerprint, done.new.openssh)
    where = f"recorded in {' and '.join(both)}" if both else "nothing was signed with the former one yet"
    return Result(text=text, remark=f"{where}. Give the new fingerprint to whoever compares it.\n")


@keys.command("show", short_help="Fingerprint, public key, path.", epilog="Example: posture keys show")
def keys_show(ctx: typer.Context) -> Result:
    """The key that scans use: its fingerprint, to compare, and its public half, to give away."""
    from posture.cli.wiring import config_of
    from posture.keys import OTHERS, inspect_key, key_path

    config = config_of(settings_of(ctx))
    key, mode = inspect_key(key_path(config.db, config.key))
    remark = ""
    if mode & OTHERS:
        remark = (
            f"warning: {key.path} may be read by others (mode {mode:04o}): no scan uses it like that. "
            f"If nobody has copied it: chmod 600 {key.path}\n"
        )
    text = _shown(key.path, key.public.fingerprint, key.public.openssh)
    former = [f"before       {one.fingerprint}\n" for one in _former(config.db) if one != key.public]
    return Result(text=text + "".join(former), remark=remark)


def _former(db: Path) -> list[PublicKey]:
    """Keys that the ledger went by, newest first; none where no history can be read."""
    from posture.errors import PostureError
    from posture.ledger.log import keys_of
    from posture.store import Store

    if not db.exists():
        return []
    try:
        with Store.open(db, write=False) as store:
            return keys_of(store.connection)[::-1]
    except PostureError:
        return []


def _shown(path: Path, fingerprint: str, openssh: str) -> str:
    from posture.reporters.cells import terminal

    return f"fingerprint  {fingerprint}\npublic key   {openssh}\npath         {terminal(str(path))}\n"
