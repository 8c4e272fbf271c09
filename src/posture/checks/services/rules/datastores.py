"""Databases and data stores that strangers can reach."""

from __future__ import annotations

from posture.checks.rule import Case, rule
from posture.checks.services.rules.exposure import Findings, Said, exposures, shown, sweep, unclear
from posture.facts import PortsFacts
from posture.facts.service import OPEN, PortAnswer

SQL_PORTS = (1433, 1521, 3306, 5432, 50000)
SQL_SERVICES = ("mysql", "postgresql", "mssql", "oracle")
STORE_PORTS = (2181, 2379, 5984, 6379, 8086, 9042, 9200, 11211, 27017)
STORE_SERVICES = (
    "redis",
    "mongodb",
    "elasticsearch",
    "memcached",
    "couchdb",
    "cassandra",
    "etcd",
    "zookeeper",
    "influxdb",
)


@rule("svc.db.sql", needs=(PortsFacts,))
def sql(case: Case) -> Findings:
    """A greeting is exposure; a refusal of our address after it (MySQL 1130) is an allow-list at work."""

    def assess(answer: PortAnswer) -> Said:
        if answer.access == "denied":
            return shown("SQL_ADDRESS_REFUSED", answer)
        return shown("SQL_REACHABLE", answer) if answer.access == "login" else unclear(case, answer)

    facts = sweep(case)
    return exposures(case, facts, ports=SQL_PORTS, services=SQL_SERVICES, assess=assess, clean="SQL_NOT_REACHABLE")


@rule("svc.db.unauth", needs=(PortsFacts,))
def unauth(case: Case) -> Findings:
    """A store that answers a metadata command without a log-in; with one it may stand on a declared port only."""
    declared = {number for number, protocol in case.asset.ports if protocol == "tcp"}

    def assess(answer: PortAnswer) -> Said | None:
        if answer.access == "open":
            return shown("DATASTORE_WITHOUT_LOGIN", answer)
        if answer.access == "":
            return unclear(case, answer)
        return None if answer.port in declared else shown("DATASTORE_REACHABLE", answer)

    facts = sweep(case)
    reached = any(answer.state == OPEN and answer.service in STORE_SERVICES for answer in facts.ports)
    clean = "DATASTORE_LOGIN_REQUIRED" if reached else "DATASTORE_NOT_REACHABLE"
    return exposures(case, facts, ports=STORE_PORTS, services=STORE_SERVICES, assess=assess, clean=clean)
