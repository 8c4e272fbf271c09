"""The audit trail: what was sent to whom, under whose authority, so that nobody can change it afterwards unseen."""

from __future__ import annotations

from posture.audit.records import Head
from posture.audit.trail import AuditTrail, Letter, Start, trail_path

__all__ = ["AuditTrail", "Head", "Letter", "Start", "trail_path"]
