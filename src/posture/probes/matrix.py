"""The port matrix as data: which TCP ports a sweep looks at, and what to say first on an open one.

A hint only chooses the question; what stands in the facts is what the answer proved.
"""

from __future__ import annotations

from collections.abc import Mapping

# Fragile equipment of plants and grids: class intrusive, never touched by this sweep, not even when declared.
ICS_PORTS = frozenset({102, 502, 789, 1911, 2404, 4840, 4911, 9600, 20000, 44818, 47808})

# Printers print what they receive: connect only.
MUTE_PORTS = frozenset({515, 631, 9100})

# How to begin, gentlest first; one connection each. "banner" listens and says nothing.
HINTS: Mapping[int, tuple[str, ...]] = {
    21: ("ftp",),
    22: ("banner",),
    23: ("telnet",),
    25: ("banner",),
    80: ("http",),
    88: ("banner",),
    110: ("banner",),
    111: ("banner",),
    135: ("msrpc",),
    139: ("netbios",),
    143: ("banner",),
    389: ("banner",),
    443: ("tls",),
    445: ("smb",),
    464: ("banner",),
    465: ("tls",),
    512: ("banner",),
    513: ("banner",),
    514: ("banner",),
    548: ("banner",),
    554: ("banner",),
    587: ("banner",),
    636: ("tls",),
    873: ("banner",),
    993: ("tls",),
    995: ("tls",),
    1099: ("banner",),
    1433: ("mssql",),
    1521: ("oracle",),
    1723: ("banner",),
    1883: ("banner",),
    2049: ("banner",),
    2181: ("zookeeper",),
    2323: ("telnet",),
    2375: ("http",),
    2376: ("tls",),
    2379: ("web_datastore",),
    3268: ("banner",),
    3269: ("tls",),
    3306: ("banner",),
    3389: ("rdp",),
    4369: ("banner",),
    4443: ("tls", "http"),
    4786: ("banner",),
    5005: ("banner",),
    5060: ("banner",),
    5432: ("postgresql",),
    5555: ("banner",),
    5900: ("banner",),
    5901: ("banner",),
    5902: ("banner",),
    5903: ("banner",),
    5984: ("web_datastore",),
    5985: ("http",),
    5986: ("tls",),
    6000: ("banner",),
    6001: ("banner",),
    6002: ("banner",),
    6003: ("banner",),
    6004: ("banner",),
    6005: ("banner",),
    6379: ("redis",),
    6443: ("tls",),
    8000: ("http",),
    8009: ("banner",),
    8080: ("http", "tls"),
    8086: ("web_datastore",),
    8088: ("http",),
    8291: ("banner",),
    8443: ("tls", "http"),
    8554: ("banner",),
    8888: ("http",),
    9042: ("cassandra",),
    9200: ("web_datastore",),
    9300: ("banner",),
    10250: ("tls",),
    10255: ("http",),
    10443: ("tls", "http"),
    11211: ("memcached",),
    17990: ("banner",),
    27017: ("mongodb",),
    34567: ("banner",),
    37777: ("banner",),
    50000: ("banner",),
}

# A declared port that the matrix does not know: listen, then ask as a browser would.
UNHINTED = ("greeting", "tls")

# What a sweep looks at: management, devices, databases, containers, the office network, mail, files, cameras and
# phones, and the names and mail ports that svc.baseline only warns about.
SWEEP_PORTS: tuple[int, ...] = tuple(sorted({*HINTS, *MUTE_PORTS, 53} - ICS_PORTS))
