"""Which data store answered an HTTP request, and whether it wants a log-in. Pure and total.

A store is recognised by what only it says; any other answer to the same path is ``None``: proxies answer 200 to anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from posture.facts.parse_service import Recognised, printable

Headers = Sequence[tuple[str, str]]

# Where each port's usual store introduces itself, and the metadata-only question that needs a log-in where one is wanted.
PORT_PATHS = {9200: "/", 5984: "/", 2379: "/version", 8086: "/ping"}
ACCESS_PATHS = {"couchdb": "/_session", "influxdb": "/query?q=SHOW%20DIAGNOSTICS"}
ETCD_AUTH_STATUS = "/v3/auth/status"


def introduces(status: int, headers: Headers, body: bytes) -> Recognised | None:
    """The store behind the first answer; access "" where a second question has to settle it."""
    said = _json_object(body)
    if status == 200 and isinstance(said.get("cluster_name"), str) and isinstance(said.get("version"), dict):
        return Recognised("elasticsearch", "open", _words("cluster_name", said["cluster_name"]))
    if status == 401 and _elastic_refusal(headers, said):
        return Recognised("elasticsearch", "login", "401")
    if status == 200 and said.get("couchdb") == "Welcome":
        return Recognised("couchdb", "", _words("version", said.get("version")))
    if status == 200 and "etcdserver" in said:
        return Recognised("etcd", "", _words("etcdserver", said["etcdserver"]))
    if version := next((value for name, value in headers if name == "x-influxdb-version"), None):
        return Recognised("influxdb", "", _words("version", version))
    return None


def access(service: str, status: int, body: bytes) -> str:
    """What the second answer proves: "open", "login" or "" (not established)."""
    if status in (401, 403):
        return "login"
    if status != 200:
        return ""
    said = _json_object(body)
    if service == "couchdb":
        user = said.get("userCtx")
        roles = user.get("roles") if isinstance(user, dict) else None
        return "" if not isinstance(roles, list) else "open" if "_admin" in roles else "login"
    if service == "etcd":  # proto3 JSON leaves a false "enabled" out
        return "login" if said.get("enabled") is True else "open" if "header" in said else ""
    return "open" if "results" in said else ""


def _elastic_refusal(headers: Headers, said: dict[str, Any]) -> bool:
    error = said.get("error")
    kind = error.get("type") if isinstance(error, dict) else None
    marks = ('realm="security"', "opensearch security")
    challenged = any(
        name == "www-authenticate" and any(mark in value.lower() for mark in marks) for name, value in headers
    )
    return kind == "security_exception" or challenged or any(name == "x-elastic-product" for name, _ in headers)


def _words(name: str, value: object) -> str:
    return printable(f"{name} {value}".encode()) if isinstance(value, str) else ""


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
