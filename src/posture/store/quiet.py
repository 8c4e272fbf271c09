"""Controls that went silent: asked, answered by nobody at all, run after run. That is no news of any ministry.

A probe that broke, a port that our line blocks, a rule that fails: each looks like thousands of unknowns. One alarm
about the control says it once; the findings keep their last known answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from posture.checks import Control
from posture.model import Reason
from posture.store.bitmap import Bitmap
from posture.store.reader import Reader
from posture.store.records import RunRecord, stamp

SILENT_RUNS = 3  # so many whole runs in a row; posture.toml may say otherwise


@dataclass(frozen=True, slots=True)
class SilentControl:
    """``runs`` whole runs in a row knew nothing of it anywhere; the first of them, and how many assets the last asked."""

    control: str
    runs: int
    since: RunRecord
    assets: int

    @property
    def sentence(self) -> str:
        assets = "1 asset" if self.assets == 1 else f"{self.assets} assets"
        return (
            f"control {self.control} went silent: for {self.runs} runs, since {stamp(self.since.end)[:10]}, nobody "
            f"answered it on any of {assets}. Look at the probe and our line, not at the ministries."
        )

    def document(self) -> dict[str, object]:
        return {
            "control": self.control,
            "runs": self.runs,
            "since": self.since.id,
            "assets": self.assets,
            "message": self.sentence,
        }


def silent_controls(
    reader: Reader, run: RunRecord, least: int = SILENT_RUNS, shipped: Mapping[str, Control] | None = None
) -> tuple[SilentControl, ...]:
    """What was silent everywhere in the last whole runs of a vantage up to a run, though once it was answered.

    A whole run is complete and without selectors. A control that was never answered has not gone silent: it waits for
    a class to be granted, or for a program. Nor has one that only deep scans ask, between two of them.

    Args:
        least: runs in a row that make an alarm.
        shipped: the controls, for what each of them needs.
    """
    whole = [
        one
        for one in reader.runs(run.vantage)
        if one.number <= run.number and one.state == "complete" and not one.selectors
    ]
    pending: dict[str, tuple[int, RunRecord, int]] = {}
    found: list[SilentControl] = []
    for place, one in enumerate(whole):
        quiet = {control: len(asked) for control, asked in _quiet(reader, one).items()}
        if place == 0:
            pending = {control: (1, one, assets) for control, assets in quiet.items()}
            continue
        for control in list(pending):
            runs, since, assets = pending[control]
            if control in quiet:
                pending[control] = (runs + 1, one, assets)
            else:  # the run that still knew something of it, or did not ask
                del pending[control]
                found.append(SilentControl(control, runs, since, assets))
        if not pending:
            break
    found.extend(SilentControl(control, *rest) for control, rest in pending.items())
    return tuple(
        one
        for one in sorted(found, key=lambda one: one.control)
        if one.runs >= least
        and reader.was_ever_known(one.control, run)
        and not _is_not_asked(reader, run, (shipped or {}).get(one.control))
    )


def _is_not_asked(reader: Reader, run: RunRecord, control: Control | None) -> bool:
    """Whether something that a control needs was left out by the profile of the last runs, everywhere."""
    needs = control.rule.needs if control else ()
    return any(reader.miss_reasons(run, need.TYPE) == {str(Reason.NOT_RUN)} for need in needs)


def _quiet(reader: Reader, run: RunRecord) -> dict[str, Bitmap]:
    """Controls of which a run knew nothing anywhere, with the assets it asked."""
    return {
        control: asked
        for control, (asked, known, partly) in reader.looks(run.number).items()
        if asked and not known and not partly
    }
