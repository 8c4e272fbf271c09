"""File services of the office network, and file transfer in clear."""

from __future__ import annotations

from posture.checks.rule import Case, rule
from posture.checks.services.rules.exposure import Findings, Said, exposures, shown, sweep, unclear
from posture.facts import PortsFacts
from posture.facts.service import PortAnswer
from posture.model import Verdict

SMB_PORTS = (135, 139, 445)
FTP_PORTS = (21,)


@rule("svc.file.smb", needs=(PortsFacts,))
def smb(case: Case) -> Findings:
    """SMB, NetBIOS sessions and MSRPC; SMB 1 is said apart, because worms need nothing more."""

    def assess(answer: PortAnswer) -> Verdict:
        return shown("SMB1_ACCEPTED" if answer.access == "smb1" else "SMB_REACHABLE", answer)

    facts = sweep(case)
    return exposures(
        case, facts, ports=SMB_PORTS, services=("smb", "netbios", "msrpc"), assess=assess, clean="SMB_NOT_REACHABLE"
    )


@rule("svc.file.ftp", needs=(PortsFacts,))
def ftp(case: Case) -> Findings:
    """RFC 4217: TLS must be offered (AUTH TLS) and a user name refused before it."""

    def assess(answer: PortAnswer) -> Said | None:
        if answer.access == "tls_required":
            return None
        if answer.access == "":
            return unclear(case, answer)
        return shown("FTP_TLS_OPTIONAL" if answer.access == "tls_optional" else "FTP_WITHOUT_TLS", answer)

    facts = sweep(case)
    speaks = any(answer.service == "ftp" for answer in facts.ports)
    clean = "FTP_REQUIRES_TLS" if speaks else "FTP_NOT_REACHABLE"
    return exposures(case, facts, ports=FTP_PORTS, services=("ftp",), assess=assess, clean=clean)
