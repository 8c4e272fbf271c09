"""Addresses that are nobody's public server: the special-purpose registries and what hides an IPv4 address in IPv6.

Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and its updates), RFC 5771 and RFC 4291
section 2.7 (multicast), RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), cloud providers' metadata addresses.
Python's ``is_global`` differs between its releases, so the table is our own.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

# From narrow to wide: the first that holds an address names it.
_SPECIAL = tuple(
    (ip_network(network), what)
    for network, what in (
        ("169.254.169.254/32", "link-local, cloud metadata"),
        ("100.100.100.200/32", "cloud metadata"),
        ("168.63.129.16/32", "cloud platform"),
        ("255.255.255.255/32", "broadcast"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "multicast tunnelling"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.175.48.0/24", "AS112"),
        ("192.168.0.0/16", "private"),
        ("169.254.0.0/16", "link-local"),
        ("198.18.0.0/15", "benchmarking"),
        ("172.16.0.0/12", "private"),
        ("100.64.0.0/10", "shared by a provider's customers"),
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("127.0.0.0/8", "loopback"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fd00:ec2::254/128", "cloud metadata"),
        ("::ffff:0:0/96", "IPv4 inside IPv6"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("2620:4f:8000::/48", "AS112"),
        ("2001:db8::/32", "documentation"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "protocol assignments"),
        ("3fff::/20", "documentation"),
        ("2002::/16", "6to4"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("fc00::/7", "private"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that IANA gives out
_NAT64 = IPv6Network("64:ff9b::/96")


@lru_cache(maxsize=4096)
def special_purpose(address: IPv4Address | IPv6Address) -> str:
    """What is special about an address, in words; "" for an ordinary public one."""
    what = next((words for network, words in _SPECIAL if address in network), "")
    if isinstance(address, IPv4Address):
        return what
    inside = embedded_ipv4(address)
    if inside is not None:
        hidden = special_purpose(inside)
        return f"{what}, holding {inside}{f' ({hidden})' if hidden else ''}"
    if not what and address not in _GLOBAL_UNICAST:
        return "not global unicast"
    return what


def embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to ``address`` may end at."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
