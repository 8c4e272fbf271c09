"""sslscan in the common form: OpenSSL's client for what that knows, and hellos of its own for the rest."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from typing import Any
from xml.etree import ElementTree as ET

from posture.facts.groups import group_name
from posture.probes.tls.suites import name_of
from tests.lab import need
from tests.oracles.tls.lab import Standing
from tests.oracles.tls.opinions import OLD_CURVES, Opinion, families

_SECONDS = 60
_VERSIONS = {
    ("ssl", "2"): "SSL 2.0",
    ("ssl", "3"): "SSL 3.0",
    ("tls", "1.0"): "TLS 1.0",
    ("tls", "1.1"): "TLS 1.1",
    ("tls", "1.2"): "TLS 1.2",
    ("tls", "1.3"): "TLS 1.3",
}
_CIPHERS = {"SSLv3": "SSL 3.0", "TLSv1.0": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}


def opinion(standing: Standing) -> Opinion:
    """All that it tests."""
    address, port = standing.place
    argv = [
        need("sslscan", "sslscan"),
        "--no-colour",
        "--xml=-",
        f"--sni-name={standing.server.host}",
        "--no-heartbleed",
    ]
    if standing.server.starttls:
        argv.append(f"--starttls-{standing.server.starttls}")
    done = subprocess.run([*argv, f"{address}:{port}"], check=True, capture_output=True, timeout=_SECONDS)
    found = ET.fromstring(done.stdout.decode("utf-8", "replace")).find("ssltest")
    return {} if found is None else _read(found)


def _read(found: ET.Element) -> Opinion:
    told: dict[str, Any] = {
        f"speaks {_VERSIONS[one.attrib['type'], one.attrib['version']]}": one.attrib["enabled"] == "1"
        for one in found.iter("protocol")
    }
    suites: dict[str, set[str]] = defaultdict(set)
    for one in found.iter("cipher"):
        suites[_CIPHERS[one.attrib["sslversion"]]].add(name_of(int(one.attrib["id"], 16)))
    for version in _CIPHERS.values():
        told[f"suites {version}"] = sorted(suites[version])
    groups = [(one.attrib["sslversion"], group_name(int(one.attrib["id"], 16))) for one in found.iter("group")]
    if groups:
        told["groups"] = sorted({name.lower() for _, name in groups})
        told["curves"] = sorted({name for version, name in groups if version == "TLSv1.2"} & OLD_CURVES)
    return {**told, **families(told)}
