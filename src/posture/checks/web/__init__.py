"""The web family: RULES in reading order."""

from __future__ import annotations

from posture.checks.rule import Rule
from posture.checks.web.rules.headers import basic
from posture.checks.web.rules.securitytxt import securitytxt

RULES: tuple[Rule, ...] = (basic, securitytxt)
