"""What deep scans ask beside the others: which of sslyze's questions, at which declared ports."""

from __future__ import annotations

from collections.abc import Iterator

from posture.inventory.records import Port
from posture.net.governor import SMTP_PORTS
from posture.net.sslyze import STARTTLS

DEEP_PROBES = ("tls_stores", "tls_early_data", "tls_vulnerability")
NOT_DEEP = "asked only with --profile deep"
_HTTPS_PORTS = frozenset({443, 8443})


def is_https(port: Port) -> bool:
    """Early data is asked of web servers alone: mail servers were seen to lose their sessions over it."""
    if port.protocol != "tcp":
        return False
    return port.service == "https" or (not port.service and port.number in _HTTPS_PORTS)


def deep_probes(port: Port, starttls: str, *, starts_tls: bool) -> Iterator[str]:
    """The probes for one declared port; none for mail submission, which counts its connections.

    Args:
        starttls: what is said before TLS on it, or "".
        starts_tls: whether TLS begins at once.
    """
    if port.number in SMTP_PORTS or not (starts_tls or starttls in STARTTLS):
        return
    yield "tls_stores"
    if is_https(port):
        yield "tls_early_data"
    yield "tls_vulnerability"
