"""posture.toml, the environment and the command line: where things are and how posture runs here.

Flag > ``POSTURE_*`` > file > default. Paths in a file are relative to that file, others to the working folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from posture.errors import ConfigurationError
from posture.inventory.names import is_address, parse_address, parse_name
from posture.inventory.reading import Fault, Problems, Table, meant, read_toml
from posture.policy import DEFAULT as SHIPPED_POLICY
from posture.signatures import Signer, parse_signer

FILE = "posture.toml"
PROFILES = ("passive", "standard", "deep")
_PATHS = ("inventory", "db", "key", "ca_file", "crls", "weak_keys", "trust_anchor", "exemptions")
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
_BRACKETED = re.compile(r"\[([^\]]*)\](?::([0-9]{1,5}))?")
_PLAIN = re.compile(r"([^:]*):([0-9]{1,5})")
# Where a canary answers when it names no port; a tcp:// canary has to.
CANARY_PORTS = {"https": 443, "http": 80, "smtp": 25, "dns": 53, "tcp": 0}
_CANARY = re.compile(r"([A-Za-z]+)://(\[[^\]/]*\]|[^:/\[\]]*)(?::([0-9]{1,5}))?(/[!-~]*)?")
HIGHEST_THRESHOLD = 20
MOST_SILENT_RUNS = 365


@dataclass(frozen=True, slots=True)
class Canary:
    """An endpoint of the operator's own that must be reachable, or what a run sees is not believed.

    ``protocol`` is https, http, smtp, dns or tcp; ``host`` a name or an address; ``path`` is asked for in HTTP.
    """

    text: str
    protocol: str
    host: str
    port: int
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Config:
    """How posture runs here.

    ``path`` is the file used, None when there is none. ``resolver``, ``ca_file``, ``trust_anchor``, ``key``: None means
    the system's resolver, the shipped roots, the shipped root anchor, the key beside the database; ``exemptions``: the
    file beside the inventory, if there is one; ``crls``, ``weak_keys``: no lists of the operator's own.
    ``endpoints`` are the operator's own: name -> address. ``silent_runs``: after how many whole runs without any answer
    a control is said to have gone silent; ``all_suites``: list the suites of a TLS server to the end in every profile.
    """

    path: Path | None
    inventory: Path
    db: Path
    key: Path | None = None
    profile: str = "standard"
    policy: str = SHIPPED_POLICY
    vantage: str = "local"
    resolver: tuple[str, int] | None = None
    ca_file: Path | None = None
    trust_anchor: Path | None = None
    exemptions: Path | None = None
    crls: Path | None = None
    weak_keys: Path | None = None
    canaries: tuple[Canary, ...] = ()
    endpoints: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    require_signatures: bool = False
    signature_threshold: int = 1
    silent_runs: int = 3
    all_suites: bool = False
    trusted_signers: tuple[Signer, ...] = ()

    def overridden(self, **flags: Any) -> Config:
        """This configuration with the flags of a command line; None means not given.

        Raises:
            ConfigurationError: a resolver that is no address, or a profile that does not exist.
            TypeError: no such field.
        """
        given = {name: value for name, value in flags.items() if value is not None}
        if isinstance(given.get("resolver"), str):
            given["resolver"] = parse_resolver(given["resolver"])
        if given.get("profile", self.profile) not in PROFILES:
            raise ConfigurationError(f"no profile {given['profile']!r}. Choose among {', '.join(PROFILES)}.")
        return replace(self, **given)


def load_config(*, config: Path | None, inventory: Path | None, environ: Mapping[str, str], cwd: Path) -> Config:
    """The configuration that holds for a command.

    Args:
        config: ``--config``, else POSTURE_CONFIG is looked at.
        inventory: an INVENTORY named on the command line; the posture.toml beside it is looked at first.
        environ: the environment.
        cwd: the working folder.

    Raises:
        ConfigurationError: a named file that does not exist, or every fault of the file or the environment.
    """
    path = _find(config, inventory, environ, cwd)
    problems = Problems()
    values = _file_values(path, problems) if path else {}
    if problems.errors:
        raise ConfigurationError("\n".join(map(str, problems.errors)))
    values |= _environment_values(environ, cwd)
    if inventory is not None:
        values["inventory"] = cwd / inventory
    defaults = {"inventory": cwd / "inventory.toml", "db": cwd / "posture.db"}
    found = Config(path, **(defaults | values))
    _check_signers(found)
    return found


def _check_signers(config: Config) -> None:
    """Raises ConfigurationError: one key under two names, which would count twice."""
    names: dict[bytes, str] = {}
    for signer in config.trusted_signers:
        other = names.setdefault(signer.key.blob, signer.name)
        if other != signer.name:
            raise ConfigurationError(
                f"{config.path or 'POSTURE_TRUSTED_SIGNERS'}: trusted_signers: {other} and {signer.name} have the same key. "
                "Give each a key of their own."
            )


def parse_resolver(text: str) -> tuple[str, int]:
    """``192.0.2.53``, ``192.0.2.53:5353``, ``2001:db8::53`` or ``[2001:db8::53]:5353`` -> (address, port).

    Raises:
        ConfigurationError: anything else, names included.
    """
    try:
        return _resolver(text)
    except Fault as fault:
        raise ConfigurationError(f"the resolver {fault.message} {fault.next}") from None


def _resolver(text: str) -> tuple[str, int]:
    match = _BRACKETED.fullmatch(text) or _PLAIN.fullmatch(text)
    host, port = (match[1], int(match[2] or 53)) if match else (text, 53)
    try:
        address = str(ip_address(host))
    except ValueError:
        address = ""
    if not address or "%" in address or not 1 <= port <= 65535:
        raise Fault("E-CONFIG", f"is not an address: {text[:80]!r}.", "Write ADDR or ADDR:PORT, such as 192.0.2.53:53.")
    return address, port


def parse_canary(text: str) -> Canary:
    """``https://www.cert.test/``, ``smtp://mx.cert.test``, ``dns://192.0.2.53``, ``tcp://192.0.2.7:22``.

    Raises:
        Fault: anything else.
    """
    advice = f"Write PROTOCOL://HOST[:PORT], the protocol one of {', '.join(CANARY_PORTS)}."
    match = _CANARY.fullmatch(text)
    if match is None:
        raise Fault("E-CONFIG", f"is not a canary: {text[:80]!r}.", advice)
    protocol, host, port, path = match[1].lower(), match[2], match[3], match[4]
    if protocol not in CANARY_PORTS:
        raise Fault(
            "E-CONFIG", f"has no protocol that can be tried: {text[:80]!r}.{meant(protocol, CANARY_PORTS)}", advice
        )
    if path not in (None, "/") and protocol not in ("http", "https"):
        raise Fault("E-CONFIG", f"has a path, which {protocol} does not know: {text[:80]!r}.", "Delete the path.")
    number = int(port) if port else CANARY_PORTS[protocol]
    if not 1 <= number <= 65535:
        raise Fault(
            "E-CONFIG", f"has no usable port: {text[:80]!r}.", f"Write it behind the host: {protocol}://HOST:22."
        )
    bare = host[1:-1] if host.startswith("[") else host
    parse = parse_address if host.startswith("[") or is_address(bare) else parse_name
    return Canary(text, protocol, parse(bare), number, path or "/")


def _find(config: Path | None, inventory: Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The posture.toml to use: named, beside the inventory, here, the user's, the system's."""
    named = config or (Path(environ["POSTURE_CONFIG"]) if environ.get("POSTURE_CONFIG") else None)
    if named is not None:
        return cwd / named
    folders = [cwd]
    if inventory is not None:
        folders.insert(0, (cwd / inventory).parent)
    if environ.get("XDG_CONFIG_HOME"):
        folders.append(Path(environ["XDG_CONFIG_HOME"]) / "posture")
    elif environ.get("HOME"):
        folders.append(Path(environ["HOME"]) / ".config" / "posture")
    folders.append(Path("/etc/posture"))
    return next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)


def _file_values(path: Path, problems: Problems) -> dict[str, Any]:
    """What the file sets, and nothing else."""
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise ConfigurationError(f"{path} cannot be read: {fault.strerror}. Correct --config.") from None
    table = read_toml(content, str(path), problems)
    if table is None:
        return {}
    values: dict[str, Any] = {name: _path(table, name, path.parent) for name in _PATHS}
    values |= {
        "profile": table.choice("profile", PROFILES, "standard"),
        "policy": _policy(table.text("policy"), path.parent),
        "vantage": table.text("vantage"),
        "resolver": table.parsed("resolver", _resolver),
        "require_signatures": table.boolean("require_signatures"),
        "all_suites": table.boolean("all_suites"),
        "endpoints": _endpoints(table.table("endpoints")),
        "signature_threshold": table.integer("signature_threshold", 1, low=1, high=HIGHEST_THRESHOLD),
        "silent_runs": table.integer("silent_runs", 3, low=1, high=MOST_SILENT_RUNS),
        "canaries": table.items("canaries", parse_canary),
        "trusted_signers": table.items("trusted_signers", parse_signer),
        "plugins": table.items("plugins", _text),
    }
    table.finish()
    return {name: value for name, value in values.items() if table.has(name) and value not in ("", None)}


def _path(table: Table, name: str, folder: Path) -> Path | None:
    text = table.text(name)
    return folder / text if text else None


def _policy(text: str, folder: Path) -> str:
    """A policy is a shipped name or a file; a file is relative to the configuration."""
    return str(folder / text) if text.endswith(".toml") else text


def _endpoints(table: Table) -> dict[str, str]:
    found = {name: table.text(name) for name in table.values}
    table.finish()
    return found


def _text(text: str) -> str:
    return text


def _environment_values(environ: Mapping[str, str], cwd: Path) -> dict[str, Any]:
    """POSTURE_DB, POSTURE_RESOLVER and so on; empty means not set; lists are separated by spaces, signers by ``;``."""
    readers: dict[str, Callable[[str], Any]] = {
        **{name: lambda text: cwd / text for name in _PATHS},
        "profile": _profile,
        "policy": lambda text: _policy(text, cwd),
        "vantage": _text,
        "resolver": parse_resolver,
        "require_signatures": _boolean,
        "all_suites": _boolean,
        "signature_threshold": _threshold,
        "canaries": lambda text: tuple(map(parse_canary, text.split())),
        "trusted_signers": lambda text: tuple(parse_signer(each.strip()) for each in text.split(";") if each.strip()),
        "plugins": lambda text: tuple(text.split()),
    }
    found = {name: environ.get(f"POSTURE_{name.upper()}", "") for name in readers}
    return {name: _read(name, readers[name], text) for name, text in found.items() if text}


def _read(name: str, reader: Callable[[str], Any], text: str) -> Any:
    try:
        return reader(text)
    except Fault as fault:
        raise ConfigurationError(f"POSTURE_{name.upper()} {fault.message} {fault.next}") from None


def _threshold(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= HIGHEST_THRESHOLD):
        raise Fault("E-CONFIG", f"is {text[:20]!r}.", f"Write a number from 1 to {HIGHEST_THRESHOLD}.")
    return int(text)


def _profile(text: str) -> str:
    if text not in PROFILES:
        raise ConfigurationError(f"POSTURE_PROFILE is {text!r}. Choose among {', '.join(PROFILES)}.")
    return text


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise ConfigurationError(f"POSTURE_REQUIRE_SIGNATURES is {text!r}. Write true or false.")
    return _TRUTH[text.lower()]
