"""Judgements: which policy, by which versions of the rules. Each is kept once, with the policy's whole text."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from posture.checks import Control
from posture.policy import Policy, parse_policy
from posture.store.answers import rule_versions

_ALL = "SELECT id, body, policy_sha256, rules_sha256, rules FROM judgement"


@dataclass(frozen=True, slots=True)
class Judgement:
    """``rules``: control id -> version of its rule."""

    number: int
    policy: Policy
    policy_digest: str
    rules_digest: str
    rules: Mapping[str, int]


def rules_digest(policy: Policy, shipped: Mapping[str, Control]) -> str:
    """SHA-256 (hex) of the versions of the rules that a policy is judged by."""
    return hashlib.sha256(rule_versions(policy, shipped).encode()).hexdigest()


def find_judgement(connection: sqlite3.Connection, policy: Policy, shipped: Mapping[str, Control]) -> int:
    """Its number, or 0, which no judgement has."""
    query = "SELECT id FROM judgement WHERE policy_sha256 = ? AND rules_sha256 = ?"
    row = connection.execute(query, (policy.digest, rules_digest(policy, shipped))).fetchone()
    return int(row[0]) if row else 0


def put_judgement(connection: sqlite3.Connection, policy: Policy, shipped: Mapping[str, Control]) -> int:
    """Its number, given to it when it has none. Only within a transaction."""
    if found := find_judgement(connection, policy, shipped):
        return found
    row = (policy.id, policy.digest, rules_digest(policy, shipped), policy.body, rule_versions(policy, shipped))
    insert = "INSERT INTO judgement (policy, policy_sha256, rules_sha256, body, rules) VALUES (?, ?, ?, ?, ?)"
    return int(connection.execute(insert, row).lastrowid or 0)


def judgements(connection: sqlite3.Connection) -> dict[int, Judgement]:
    """All of them, by number."""
    return {
        number: Judgement(number, parse_policy(body), policy, rules, json.loads(versions))
        for number, body, policy, rules, versions in connection.execute(_ALL)
    }
