"""No new way to the network, or to another process, comes in unseen: who uses one is listed here, with the reason.

The direction of imports (.importlinter) keeps whole floors away from sockets. This reads the calls too: what asyncio,
os and dnspython offer needs no import of its own. A name that is built at run time is for the guard of a running scan.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.house.test_contracts import ROOT

SOURCE = ROOT / "src"

# A module that is a way out by itself.
MODULES = (
    "socket",
    "_socket",
    "ssl",
    "subprocess",
    "_posixsubprocess",
    "multiprocessing",
    "concurrent.futures.process",
    "pty",
    "ctypes",
    "cffi",
    "httpx",
    "httpcore",
    "requests",
    "aiohttp",
    "anyio",
    "urllib3",
    "urllib.request",
    "http.client",
    "http.server",
    "smtplib",
    "ftplib",
    "poplib",
    "imaplib",
    "telnetlib",
    "xmlrpc",
    "socketserver",
    "webbrowser",
    "dns.query",
    "dns.asyncquery",
    "dns.resolver",
    "dns.asyncresolver",
    "sslyze",
    "nmap",
    "nassl",
    "runpy",
    "importlib.machinery",
)
# A call that is one, by what it is called on and by its own name.
CALLS = (
    "os.system",
    "os.popen",
    "os.exec*",
    "os.spawn*",
    "os.posix_spawn*",
    "os.fork*",
    "os.startfile",
    "*.create_subprocess_*",
    "*.subprocess_*",
    "*.open_connection",
    "*.open_unix_connection",
    "*.create_connection",
    "*.create_unix_connection",
    "*.create_datagram_endpoint",
    "*.sock_connect",
    "*.sock_sendto",
    "*.connect_ex",
    "*.sendto",
    "*.sendmsg",
    "*.getaddrinfo",
    "*.gethostbyname*",
    "*.gethostbyaddr",
    "*.getnameinfo",
    "*.start_server",
    "*.create_server",
    "eval",
    "exec",
    "__import__",
)

# Who may, and why. An entry that nobody needs any more is a failure too.
ALLOWED: dict[str, set[str]] = {
    # Sockets are opened after a grant, or are the run's own resolver.
    "socket": {
        "posture.net.broker",  # the type of what it was given
        "posture.net.tcp",
        "posture.net.udp",
        "posture.net.proxy",  # listens on loopback for a child of ours
        "posture.net.selftest",  # asks the kernel for a route
        "posture.range.listening",  # the practice range listens
    },
    "ssl": {"posture.net.http", *(f"posture.range.{name}" for name in ("tls", "listening", "mail", "servers"))},
    "httpx": {"posture.net.http"},  # both read answers; their connections are the broker's
    "httpcore": {"posture.net.http"},
    "*.sock_connect": {"posture.net.tcp"},
    "*.create_server": {"posture.net.proxy"},
    "*.start_server": {"posture.net.proxy"},
    "*.create_datagram_endpoint": {"posture.range.listening"},
    "*.sendto": {"posture.range.listening"},  # answers to who asked
    # Programs start in the box, and there by its keeper.
    "subprocess": {"posture.net.sandbox"},
    "ctypes": {"posture.net.keeper"},
    "os.exec*": {"posture.net.keeper"},
    "os.fork*": {"posture.net.keeper"},
    # Copies of this program that read the history and send nothing; the sandbox has no part in judging.
    "multiprocessing": {"posture.store.walking"},
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def dotted(node: ast.expr) -> str:
    """``loop.sock_connect`` of an attribute, ``?.sock_connect`` when it is of no plain name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def mentioned(tree: ast.AST) -> Iterator[str]:
    """Every attribute and plain name, called or only handed on; names imported from a module by their whole name."""
    origin = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield dotted(node)
        elif isinstance(node, ast.Name):
            yield origin.get(node.id, node.id)


def ways_out(source: str) -> set[str]:
    """The patterns of MODULES and CALLS that a module's text meets."""
    tree = ast.parse(source)
    modules = set(imported(tree))
    found = {way for way in MODULES for name in modules if name == way or name.startswith(f"{way}.")}
    names = set(mentioned(tree))
    return found | {way for way in CALLS for name in names if fnmatch(name, way)}


def used() -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted((SOURCE / "posture").rglob("*.py")):
        for way in ways_out(path.read_text("utf-8")):
            found[way].add(module_of(path))
    return dict(found)


def shown(ways: dict[str, set[str]]) -> list[str]:
    return sorted(f"{module} uses {way}" for way, modules in ways.items() for module in modules)


def beyond(ways: dict[str, set[str]], others: dict[str, set[str]]) -> dict[str, set[str]]:
    return {way: modules - others.get(way, set()) for way, modules in ways.items()}


def test_only_the_listed_modules_have_a_way_out() -> None:
    assert shown(beyond(used(), ALLOWED)) == []


def test_the_list_says_no_more_than_is_needed() -> None:
    assert shown(beyond(ALLOWED, used())) == []


@pytest.mark.parametrize(
    ("source", "way"),
    [
        ("import socket", "socket"),
        ("def f():\n    import subprocess as s", "subprocess"),
        ("from urllib import request", "urllib.request"),
        ("import urllib.request", "urllib.request"),
        ("from http.client import HTTPConnection", "http.client"),
        ("from dns import query", "dns.query"),
        ("import dns.resolver", "dns.resolver"),
        ("from multiprocessing.pool import Pool", "multiprocessing"),
        ("import os\nos.system('x')", "os.system"),
        ("from os import popen as p\np('x')", "os.popen"),
        ("import os\nrun = os.execv", "os.exec*"),
        ("import asyncio\nasyncio.open_connection('x', 1)", "*.open_connection"),
        ("from asyncio import open_connection\nopen_connection('x', 1)", "*.open_connection"),
        ("asyncio.get_running_loop().create_connection(x)", "*.create_connection"),
        ("loop.sock_connect(s, a)", "*.sock_connect"),
        ("asyncio.create_subprocess_exec('x')", "*.create_subprocess_*"),
        ("eval('x')", "eval"),
    ],
)
def test_a_new_way_would_be_seen(source: str, way: str) -> None:
    assert way in ways_out(source)


@pytest.mark.parametrize(
    "source", ["import urllib.parse", "import dns.message", "import os\nos.stat('x')", "x.connect(y)", "import http"]
)
def test_what_is_none_is_left_alone(source: str) -> None:
    assert ways_out(source) == set()


def test_there_is_no_shell() -> None:
    paths = (SOURCE / "posture").rglob("*.py")
    assert [module_of(path) for path in paths if "shell=True" in path.read_text("utf-8")] == []
