"""The operator's key: keys new, keys show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posture.cli.app import UPKEEP, app, settings_of
from posture.cli.result import Result

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
    return Result(text=_shown(key.path, key.public.fingerprint, key.public.openssh), remark=remark)


def _shown(path: Path, fingerprint: str, openssh: str) -> str:
    from posture.reporters.cells import terminal

    return f"fingerprint  {fingerprint}\npublic key   {openssh}\npath         {terminal(str(path))}\n"
