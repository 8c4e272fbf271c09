"""What an open port speaks: by first bytes of our own, gentlest first, one connection per question.

A port number chooses the question (posture.probes.matrix); only the answer counts. Nothing here logs in, and printers
get no byte at all. Telnet is proved by option negotiation only: a bare "login:" on port 23 is not recognised.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from posture.facts import parse_bson
from posture.facts import parse_datastore as datastore
from posture.facts import parse_service as parse
from posture.facts.parse_service import Recognised
from posture.facts.service import OPEN, PortAnswer
from posture.model import NotSeen, NotThere, Reason
from posture.probes import questions
from posture.probes.base import Door, Response, Stream
from posture.probes.matrix import HINTS, ICS_PORTS, MUTE_PORTS, UNHINTED
from posture.probes.talk import Talk

# How long a server that speaks first may take to begin.
BANNER_SECONDS = 2.0
# How long one conversation may last, so that a server that drips byte by byte does not use up the asset's clock.
CONVERSATION_SECONDS = 10.0
DATASTORE_BODY = 4096
_TLS_FIRST = 534  # RFC 2228: policy requires SSL
_CALLS_FOR_TLS = re.compile(r"\b(?:tls|ssl|encrypt\w*|secure|cleartext)\b", re.IGNORECASE)
RD_GATEWAY_PATH = "/remoteDesktopGateway/"


@dataclass(frozen=True, slots=True)
class Place:
    """An open port, the name to say where a protocol asks for one, and how long a greeting and a conversation may take.

    ``shut`` gets the number of a port that was open and seems to let nobody in any more.
    """

    door: Door
    address: str
    port: int
    name: str
    banner_seconds: float = BANNER_SECONDS
    seconds: float = CONVERSATION_SECONDS
    shut: set[int] = field(default_factory=set)

    async def connect(self) -> Stream:
        """As the door's; a port that was open and did not let us in is noted."""
        try:
            return await self.door.connect(self.address, self.port)
        except NotThere:
            self.shut.add(self.port)
            raise
        except NotSeen as unseen:
            if unseen.reason is Reason.TIMEOUT:
                self.shut.add(self.port)
            raise


async def identify(place: Place) -> PortAnswer:
    """What speaks on an open port; ``service`` "" and ``why`` when nothing was recognised. Raises nothing of the network."""
    if place.port in MUTE_PORTS or place.port in ICS_PORTS:
        return PortAnswer(place.port, OPEN, why=Reason.NOT_RUN)
    known = Recognised("", why=Reason.MALFORMED)
    for hint in HINTS.get(place.port, UNHINTED):
        known = await _try(place, hint)
        if known.service:
            break
    if known.service == "smb" and known.access != "smb1":
        known = await _second(place, known, _smb1)
    elif known.service == "tls" and place.port == 443:
        known = await _second(place, known, _rd_gateway)
    return PortAnswer(place.port, OPEN, known.service, known.access, known.heard, known.why)


async def _try(place: Place, hint: str) -> Recognised:
    """One question; what went wrong is a reason word, never an exception."""
    if hint == "web_datastore":
        return await _web_datastore(place)
    try:
        async with await place.connect() as stream:
            talk = Talk(stream)
            try:
                async with asyncio.timeout(place.seconds):
                    known = await CONVERSATIONS[hint](talk, place)
            except TimeoutError:
                return _unrecognised(talk, Reason.TIMEOUT)
            except NotSeen as unseen:
                return _unrecognised(talk, unseen.reason)
            return known or _unrecognised(talk, _nothing_known(talk))
    except NotSeen as unseen:
        return Recognised("", why=unseen.reason)
    except NotThere:  # open a moment ago, and the RST comes now
        return Recognised("", why=Reason.RESET)


def _nothing_known(talk: Talk) -> Reason:
    """Why a conversation that went by without mishap made nothing known."""
    if talk.heard:
        return Reason.MALFORMED
    return Reason.RESET if talk.ended else Reason.TIMEOUT


def _unrecognised(talk: Talk, reason: Reason) -> Recognised:
    return Recognised("", heard=parse.printable(talk.heard), why=reason)


# ---- conversations: one per hint

Conversation = Callable[[Talk, Place], Awaitable[Recognised | None]]


def _asking(question: bytes, read: parse.Reader) -> Conversation:
    """A conversation of one question, whose answer may also be that of another protocol."""

    def either(data: bytes) -> Recognised | None:
        return read(data) or parse.recognise(data)

    async def converse(talk: Talk, _place: Place) -> Recognised | None:
        return await talk.ask(question, either)

    return converse


async def _banner(talk: Talk, place: Place) -> Recognised | None:
    known = await talk.greeting(parse.recognise, place.banner_seconds)
    return await _ftp_login(talk, known) if known and known.service == "ftp" else known


async def _greeting(talk: Talk, place: Place) -> Recognised | None:
    """Listen first; a server that waits for us is asked as a browser would."""
    known = await _banner(talk, place)
    return known if known or talk.heard else await talk.ask(questions.HTTP_GET, parse.recognise)


async def _telnet(talk: Talk, place: Place) -> Recognised | None:
    """Most negotiate at once; one that only prints text is asked to suppress go-ahead and must answer WILL or WONT."""
    known = await talk.greeting(parse.recognise, place.banner_seconds)
    return known or await talk.ask(questions.TELNET_DO_SUPPRESS_GO_AHEAD, parse.telnet)


async def _mongodb(talk: Talk, _place: Place) -> Recognised | None:
    """``hello`` needs no log-in and proves the protocol; listing databases (a filter lets none through) may need one."""
    hello = parse_bson.op_msg(parse_bson.command("hello"))
    known = await talk.ask(hello, lambda data: _mongodb_hello(data) or parse.recognise(data))
    if known is None or known.service != "mongodb":
        return known
    none = parse_bson.document("filter", parse_bson.text("name", "-"))
    names = parse_bson.op_msg(parse_bson.command("listDatabases", none, nameOnly=True))
    try:
        return await talk.ask(names, _mongodb_names) or known
    except NotSeen as unseen:
        return replace(known, why=unseen.reason)


def _mongodb_hello(data: bytes) -> Recognised | None:
    said = parse_bson.scalars(data)
    if said is None or said.get("ok") not in (0, 1) or not said.keys() & {"maxWireVersion", "code", "codeName"}:
        return None
    return Recognised("mongodb", "", f"wire version {said.get('maxWireVersion', 'unknown')}", Reason.REFUSED_BY_TARGET)


def _mongodb_names(data: bytes) -> Recognised | None:
    said = parse_bson.scalars(data)
    if said is None:
        return None
    if said.get("ok") == 1:
        return Recognised("mongodb", "open", "listDatabases: ok")
    if said.get("code") in (13, 18):  # Unauthorized, AuthenticationFailed
        return Recognised("mongodb", "login", "listDatabases: unauthorised")
    return None


async def _ftp(talk: Talk, _place: Place) -> Recognised | None:
    """Port 21: any 220 may be FTP, whatever words it uses; the commands prove it."""
    known = await talk.listen(lambda data: parse.recognise(data) or _ready(data))
    if known is None or known.service not in ("ftp", "ready"):
        return known
    return await _ftp_login(talk, known)


def _ready(data: bytes) -> Recognised | None:
    ready = data.startswith((b"220 ", b"220-")) and b"\n" in data
    return Recognised("ready", heard=parse.first_line(data)) if ready else None


async def _ftp_login(talk: Talk, known: Recognised) -> Recognised | None:
    """FEAT, then USER in clear (stopping before PASS), then AUTH TLS where FEAT did not list it (RFC 4217)."""
    proved = replace(known, service="ftp") if known.service == "ftp" else None
    try:
        code, _ = await talk.reply()
        if code != 220:
            return replace(proved, why=Reason.REFUSED_BY_TARGET) if proved else None
        features, lines = await _command(talk, "FEAT")
        offered = any("AUTH" in line.upper() and "TLS" in line.upper() for line in lines) and features == 211
        user = await _ftp_user(talk)
        if not proved and not {211, 230, 331, 332, 530, 534} & {features, user}:
            return None
        proved = replace(known, service="ftp")
        if user == _TLS_FIRST:
            return replace(proved, access="tls_required")
        if not offered:
            return _without_feature(proved, (await _command(talk, "AUTH TLS"))[0], user)
        await talk.say(b"QUIT\r\n")
    except NotSeen as unseen:
        return replace(proved, why=unseen.reason) if proved else None
    return _with_tls(proved, user)


async def _ftp_user(talk: Talk) -> int:
    """The answer to a user name in clear: of nobody's name first, then of the anonymous one, unless TLS is called for."""
    code = 0
    for name in ("posture", "anonymous"):
        code, lines = await _command(talk, f"USER {name}")
        if code < 500 and code != 421:
            return code
        if code == _TLS_FIRST or _CALLS_FOR_TLS.search(" ".join(lines)):
            return _TLS_FIRST  # the server may hang up now
    return code


def _without_feature(proved: Recognised, auth: int, user: int) -> Recognised:
    """FEAT did not list TLS: the answer to AUTH TLS decides, and only a clean refusal means that there is none."""
    if auth in (234, 334):
        return _with_tls(proved, user)
    return replace(proved, access="clear") if auth >= 500 else replace(proved, why=Reason.REFUSED_BY_TARGET)


def _with_tls(proved: Recognised, user: int) -> Recognised:
    if user in (230, 331, 332):
        return replace(proved, access="tls_optional")
    return replace(proved, access="tls_required") if user >= 500 else replace(proved, why=Reason.REFUSED_BY_TARGET)


async def _command(talk: Talk, words: str) -> tuple[int, tuple[str, ...]]:
    await talk.say(words.encode() + b"\r\n")
    return await talk.reply()


CONVERSATIONS: dict[str, Conversation] = {
    "banner": _banner,
    "greeting": _greeting,
    "telnet": _telnet,
    "ftp": _ftp,
    "mongodb": _mongodb,
    "http": _asking(questions.HTTP_GET, parse.recognise),
    "tls": _asking(questions.CLIENT_HELLO, parse.tls),
    "rdp": _asking(questions.RDP_NEGOTIATION, parse.rdp),
    "smb": _asking(questions.SMB2_NEGOTIATE, parse.smb2),
    "netbios": _asking(questions.NETBIOS_SESSION, parse.netbios),
    "msrpc": _asking(questions.MSRPC_BIND, parse.msrpc),
    "postgresql": _asking(questions.POSTGRESQL_SSL_REQUEST, parse.postgresql),
    "mssql": _asking(questions.MSSQL_PRELOGIN, parse.mssql),
    "oracle": _asking(questions.ORACLE_CONNECT, parse.oracle),
    "redis": _asking(questions.REDIS_PING, parse.redis),
    "memcached": _asking(questions.MEMCACHED_VERSION, parse.memcached),
    "cassandra": _asking(questions.CASSANDRA_STARTUP, parse.cassandra),
    "zookeeper": _asking(questions.ZOOKEEPER_SRVR, parse.zookeeper),
}


# ---- second questions, on a connection of their own, once the protocol is known


async def _second(
    place: Place, known: Recognised, ask: Callable[[Place, Recognised], Awaitable[Recognised]]
) -> Recognised:
    """A finer answer, or the first one when the second question got none."""
    try:
        return await ask(place, known)
    except (NotSeen, NotThere):
        return known


async def _smb1(place: Place, known: Recognised) -> Recognised:
    async with await place.door.connect(place.address, place.port) as stream:
        answer = await Talk(stream).ask(questions.SMB1_NEGOTIATE, parse.smb1)
    return replace(known, access="smb1") if answer and answer.access == "smb1" else known


async def _rd_gateway(place: Place, known: Recognised) -> Recognised:
    """A Remote Desktop Gateway wants a Windows log-in at a path of its own, and its HTTP.sys says so."""
    answer = await _get(place, "https", RD_GATEWAY_PATH)
    challenges = {value.split(" ", 1)[0].lower() for value in answer.header("www-authenticate")}
    kernel = any(value.lower().startswith("microsoft-httpapi") for value in answer.header("server"))
    if answer.status == 401 and kernel and challenges & {"ntlm", "negotiate"}:
        return Recognised("rd_gateway", "login", f"401 at {RD_GATEWAY_PATH}")
    return known


async def _web_datastore(place: Place) -> Recognised:
    """Data stores that speak HTTP, in clear or over TLS."""
    reason = Reason.MALFORMED
    for scheme in ("http", "https"):
        try:
            answer = await _get(place, scheme, datastore.PORT_PATHS[place.port])
        except NotSeen as unseen:
            reason = unseen.reason
            continue
        except NotThere:
            place.shut.add(place.port)
            return Recognised("", why=Reason.RESET)
        known = datastore.introduces(answer.status, answer.headers, answer.body)
        if known is None:
            return Recognised("http" if scheme == "http" else "https", heard=f"status {answer.status}")
        return known if known.access else await _datastore_access(place, scheme, known)
    return Recognised("", why=reason)


async def _datastore_access(place: Place, scheme: str, known: Recognised) -> Recognised:
    try:
        if known.service == "etcd":
            status, body = await _etcd_auth_status(place, scheme)
        else:
            answer = await _get(place, scheme, datastore.ACCESS_PATHS[known.service])
            status, body = answer.status, answer.body
    except NotSeen as unseen:
        return replace(known, why=unseen.reason)
    except NotThere:
        return replace(known, why=Reason.RESET)
    access = datastore.access(known.service, status, body)
    return replace(known, access=access, why="" if access else Reason.REFUSED_BY_TARGET)


async def _etcd_auth_status(place: Place, scheme: str) -> tuple[int, bytes]:
    """The gateway of etcd answers to POST only; over TLS the question is left open."""
    if scheme != "http":
        raise NotSeen(Reason.NOT_RUN, "etcd over TLS")
    request = (
        f"POST {datastore.ETCD_AUTH_STATUS} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    )
    async with await place.door.connect(place.address, place.port) as stream:
        talk = Talk(stream)
        await talk.ask(request.encode(), lambda _data: None)
    head, _, body = talk.heard.partition(b"\r\n\r\n")
    status = head[9:12]
    if not head.startswith(b"HTTP/1.") or not status.isdigit():
        raise NotSeen(Reason.MALFORMED, "not HTTP")
    return int(status), body


async def _get(place: Place, scheme: str, path: str) -> Response:
    usual = {"http": 80, "https": 443}[scheme]
    host = f"[{place.name}]" if ":" in place.name else place.name
    port = "" if place.port == usual else f":{place.port}"
    return await place.door.get(f"{scheme}://{host}{port}{path}", address=place.address, body_limit=DATASTORE_BODY)
