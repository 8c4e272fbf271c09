"""``posture inventory export``: where the sheet goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from posture.cli.result import Result
from posture.cli.wiring import config_of
from posture.errors import UsageError

if TYPE_CHECKING:
    from posture.cli.app import Settings


def export_to(settings: Settings, file: Path | None, out: Path, ministries: tuple[str, ...], *, force: bool) -> Result:
    """Raises UsageError: no such form, no such ministry, or a file that is there."""
    from posture.inventory.export import FORMATS, export_inventory, own_files, write_whole

    inventory = file or config_of(settings).inventory
    if out == Path("-"):
        text = export_inventory(inventory, "csv", ministries).decode("utf-8-sig")

        def writer(stream: TextIO) -> None:
            stream.write(text)

        return Result(writer=writer)
    form = out.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise UsageError(f"{out}: a sheet ends in .csv or .xlsx, an inventory in .toml. Name FILE so.")
    if out.resolve() in own_files(inventory):
        raise UsageError(f"{out} is the inventory itself, or a sheet of it. Name another file.")
    content = export_inventory(inventory, form, ministries)
    write_whole(out, content, force=force)
    remark = ""
    if form == "toml" and out.absolute().parent != inventory.absolute().parent:
        remark = f"note: documents and signatures are looked for beside the inventory: put {out.name} beside them.\n"
    return Result(text=f"wrote {out}\n", remark="" if settings.quiet else remark)
