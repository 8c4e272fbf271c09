"""One real scan: plan, probe, judge, look twice at what changed, record."""

from __future__ import annotations

from posture.scan.ended import Ended
from posture.scan.reading import drift_document, report_of
from posture.scan.run import Progress, scan
from posture.scan.terms import Terms, prepare

__all__ = ["Ended", "Progress", "Terms", "drift_document", "prepare", "report_of", "scan"]
