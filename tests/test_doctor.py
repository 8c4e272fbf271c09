"""What doctor says of sslyze and its box."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from posture.config import load_config
from posture.doctor import DEGRADED, OK, Remark, examine


def of_sslyze(folder: Path) -> Remark:
    config = load_config(config=None, inventory=None, environ={}, cwd=folder).overridden(resolver=("127.0.20.99", 9))
    (found,) = [one for one in asyncio.run(examine(config, datetime.now(UTC))) if one.subject == "sslyze"]
    return found


def test_what_is_there_and_can_be_boxed_is_well(tmp_path: Path) -> None:
    remark = of_sslyze(tmp_path)

    assert (remark.state, remark.mend) == (OK, "")
    assert "for deep scans" in remark.finding


def test_without_sslyze_it_says_what_stays_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sslyze" else looked_for(name))

    remark = of_sslyze(tmp_path)

    assert remark.state == DEGRADED
    assert "tls.vuln.*" in remark.finding
    assert "tool_missing" in remark.finding
    assert "pip install" in remark.mend


def test_without_a_box_it_says_what_stays_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    remark = of_sslyze(tmp_path)

    assert remark.state == DEGRADED
    assert "no box" in remark.finding
    assert "vantage_limited" in remark.finding


def test_elsewhere_than_on_linux_there_is_no_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")

    remark = of_sslyze(tmp_path)

    assert (remark.state, "Linux 5.3" in remark.finding) == (DEGRADED, True)
