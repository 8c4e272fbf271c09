"""The services family: RULES in reading order."""

from __future__ import annotations

from posture.checks.rule import Rule
from posture.checks.services.rules.baseline import baseline
from posture.checks.services.rules.datastores import sql, unauth
from posture.checks.services.rules.files import ftp, smb
from posture.checks.services.rules.management import rdp, telnet

RULES: tuple[Rule, ...] = (baseline, telnet, rdp, smb, ftp, sql, unauth)
