"""The SMTP probe against scripted exchangers and Postfix."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import tempfile
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from posture.facts import SmtpFacts
from posture.facts.smtp import SmtpAnswer
from posture.model import NotSeen, ProbeClass, Reason
from posture.probes import smtp
from posture.task import Task
from tests.doors import Conversation, LoopbackDoor, Place, scripted
from tests.lab import free_port, need, need_root, serve

(SMTP,) = smtp.PROBES
NAME, EHLO = "mx.gov.example", "scanner.cert.example"
A, B = "198.51.100.25", "203.0.113.25"
EXTENSIONS = "250-mx.gov.example\r\n250-SIZE 1000\r\n250-pipelining\r\n"


def task(*addresses: str) -> Task:
    subject, client = f"mx:{NAME}:25", ProbeClass.CLIENT
    params = {"ehlo": EHLO, "mx_of": "gov.example"}
    return Task("f", "gov.example", "zone", "smtp", "email", client, subject, NAME, "a-1", addresses, 25, params)


class Heard(list[bytes]):
    """The lines that a server heard; ``over`` when its conversation is."""

    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()


def talk(*replies: str, heard: Heard | None = None) -> Conversation:
    """A server that says one reply for the greeting and one for each line it hears."""
    lines = Heard() if heard is None else heard

    async def converse(reader: StreamReader, writer: StreamWriter) -> None:
        for number, reply in enumerate(replies):
            if number:
                lines.append(await reader.readline())
            writer.write(reply.encode("latin-1"))
            await writer.drain()
        lines.append(await reader.readline())
        lines.over.set()

    return converse


def tls_server(context: ssl.SSLContext, heard: Heard, *, injected: str = "") -> Conversation:
    """Offers STARTTLS and keeps its word; ``injected`` follows the 220 in clear text."""

    async def converse(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        await reader.readline()
        writer.write(f"{EXTENSIONS}250 STARTTLS\r\n".encode())
        await reader.readline()
        writer.write(f"220 go\r\n{injected}".encode())
        await writer.drain()
        await writer.start_tls(context)
        heard.append(await reader.readline())
        heard.over.set()

    return converse


async def at(door: LoopbackDoor, *addresses: str) -> SmtpFacts:
    facts = await SMTP.observe(task(*addresses), door)
    assert isinstance(facts, SmtpFacts)
    return facts


async def observe(
    conversations: dict[str, Conversation], addresses: tuple[str, ...] = (), heard: Heard | None = None
) -> SmtpFacts:
    async with AsyncExitStack() as stack:
        places: dict[Place, Place] = {}
        for address, conversation in conversations.items():
            places[address, 25] = await stack.enter_async_context(scripted(conversation))
        facts = await at(LoopbackDoor(places, patience=0.5), *(addresses or conversations))
        if heard is not None:
            await asyncio.wait_for(heard.over.wait(), 5)
    return facts


def visit(conversation: Conversation, heard: Heard | None = None) -> SmtpAnswer:
    facts = asyncio.run(observe({A: conversation}, heard=heard))
    assert facts.name == NAME
    (answer,) = facts.answers
    return answer


@pytest.fixture
def certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(NAME).configure_cert(context)
    return context


def test_starttls_is_taken_up_and_leave_is_taken_inside_it(certificate: ssl.SSLContext) -> None:
    heard = Heard()

    assert visit(tls_server(certificate, heard), heard) == SmtpAnswer(
        A, "greeted", ("PIPELINING", "SIZE", "STARTTLS"), "offered", "accepted", "TLS 1.3"
    )
    assert heard == [b"QUIT\r\n"]


def test_an_old_server_is_read_too(certificate: ssl.SSLContext) -> None:
    certificate.maximum_version = ssl.TLSVersion.TLSv1_2

    assert visit(tls_server(certificate, Heard())).version == "TLS 1.2"


def test_clear_text_behind_the_220_is_passed_over(certificate: ssl.SSLContext) -> None:
    answer = visit(tls_server(certificate, Heard(), injected="250-evil\r\n250 STARTTLS\r\n"))

    assert (answer.tls, answer.version) == ("accepted", "TLS 1.3")


def test_an_alert_is_a_refusal() -> None:
    handshake_failure = "\x15\x03\x03\x00\x02\x02\x28"

    assert visit(talk("220 ready\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n" + handshake_failure)).tls == "refused"


# (replies, state, starttls, tls)
DIALOGUES = [
    (("220 ready\r\n", f"{EXTENSIONS}250 HELP\r\n"), "greeted", "not_offered", ""),
    (("220-two\r\n220 lines\r\n", "250 mx\r\n"), "greeted", "not_offered", ""),
    (("220 ready\n", "250-mx\n250 STARTTLS\n", "454 later\n"), "greeted", "offered", "unclear"),
    (("220 ready\r\n", "250-mx\r\n250 STARTTLS\r\n", "501 no\r\n"), "greeted", "offered", "refused"),
    (("220 ready\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"), "greeted", "offered", "unclear"),
    (("220 ready\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\nno tls at all\r\n"), "greeted", "offered", "unclear"),
    (("220 ***************\r\n", "250-mx\r\n250-XXXXXXXA\r\n250 SIZE\r\n"), "greeted", "masked", ""),
    (("220 ready\r\n", "502 what?\r\n"), "rejected", "unclear", ""),
    (("220 ready\r\n", "451 busy\r\n"), "temporary", "unclear", ""),
    (("450 later\r\n",), "temporary", "unclear", ""),
    (("554 go away\r\n",), "rejected", "unclear", ""),
    (("SSH-2.0-OpenSSH\r\n",), "malformed", "unclear", ""),
    (("220 ready\r\n", "nonsense\r\n"), "malformed", "unclear", ""),
    (("354 send\r\n",), "malformed", "unclear", ""),
    (("220-" + "x" * 3000 + "\r\n",), "malformed", "unclear", ""),
    (("220-more\r\n" * 101,), "malformed", "unclear", ""),
    (("220 ready\r\n", "250-mx\r\n250 STARTTLS"), "timeout", "unclear", ""),
]


@pytest.mark.parametrize(("replies", "state", "starttls", "tls"), DIALOGUES)
def test_what_an_exchanger_says_is_told_apart(replies: tuple[str, ...], state: str, starttls: str, tls: str) -> None:
    answer = visit(talk(*replies))

    assert (answer.state, answer.starttls, answer.tls, answer.version) == (state, starttls, tls, "")


def test_we_greet_with_our_name_and_take_leave() -> None:
    heard = Heard()
    visit(talk("220 ready\r\n", "250 mx\r\n", heard=heard), heard)

    assert heard == [f"EHLO {EHLO}\r\n".encode(), b"QUIT\r\n"]


def test_a_server_that_hangs_up_says_nothing() -> None:
    async def hang_up(_reader: StreamReader, _writer: StreamWriter) -> None:
        return

    assert visit(hang_up).state == "reset"


def test_extensions_are_words_and_not_too_many() -> None:
    many = "".join(f"250-EXT{n}\r\n" for n in range(80))
    answer = visit(talk("220 ready\r\n", f"250-mx\r\n{many}250-b\xe4d word\r\n250 <script>\r\n"))

    assert len(answer.extensions) == 60
    assert all(word.startswith("EXT") for word in answer.extensions)


def test_every_address_has_its_own_answer() -> None:
    facts = asyncio.run(observe({A: talk("450 busy\r\n")}, (A, B)))

    assert [(answer.address, answer.state) for answer in facts.answers] == [(A, "temporary"), (B, "closed")]


def test_a_silent_address_does_not_hide_the_other_one() -> None:
    async def ask() -> SmtpFacts:
        async with scripted(talk("220 ready\r\n", "250 mx\r\n")) as place:
            door = LoopbackDoor({(B, 25): place}, silent=frozenset({(A, 25)}))
            facts = await at(door, A, B)
            assert door.connections == [(A, 25), (B, 25)]
            return facts

    assert [answer.state for answer in asyncio.run(ask()).answers] == ["timeout", "greeted"]


def test_where_nobody_may_be_asked_the_refusal_is_the_answer() -> None:
    class Refusing(LoopbackDoor):
        async def connect(self, address: str, port: int, *, timeout: float = 5.0, brisk: bool = False):  # type: ignore[no-untyped-def]  # never returns
            raise NotSeen(Reason.RATE_LIMITED if address == A else Reason.TIMEOUT, address, "E-SCOPE-030")

    with pytest.raises(NotSeen) as unseen:
        asyncio.run(at(Refusing(), A))
    both = asyncio.run(at(Refusing(), A, B))

    assert (unseen.value.reason, unseen.value.code) == (Reason.RATE_LIMITED, "E-SCOPE-030")
    assert [answer.state for answer in both.answers] == ["rate_limited", "timeout"]


@pytest.fixture
def postfix() -> Iterator[Place]:
    """A Postfix of its own: configuration, queue and data in a directory that its user may enter."""
    binary = need("postfix", "postfix")
    need_root()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield from _postfix(binary, folder)


def _postfix(binary: str, folder: Path) -> Iterator[Place]:
    port = free_port()
    issued = trustme.CA().issue_cert(NAME)
    pem = folder / "server.pem"
    pem.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    pem.chmod(0o600)
    for name in ("etc", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "etc" / "main.cf").write_text(
        f"""compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
myhostname = {NAME}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
local_recipient_maps =
smtpd_client_restrictions =
alias_maps =
maillog_file = /dev/stdout
smtpd_tls_security_level = may
smtpd_tls_chain_files = {pem}
"""
    )
    (folder / "etc" / "master.cf").write_text(
        f"""127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
    )
    config = folder / "etc"
    with serve([binary, "-c", config, "start-fg"], ready=("127.0.0.1", port)):
        try:
            yield "127.0.0.1", port
        finally:  # its master leaves the session of the command that started it
            subprocess.run([binary, "-c", config, "stop"], check=True, capture_output=True)


def test_postfix(postfix: Place) -> None:
    facts = asyncio.run(at(LoopbackDoor({(A, 25): postfix}), A))

    (answer,) = facts.answers
    assert (answer.state, answer.starttls, answer.tls, answer.version) == ("greeted", "offered", "accepted", "TLS 1.3")
    assert "PIPELINING" in answer.extensions


def test_an_address_that_may_not_be_asked_stays_in_the_facts() -> None:
    async def ask() -> SmtpFacts:
        async with scripted(talk("220 ready\r\n", "250 mx\r\n")) as place:
            asked = replace(
                task(A), params={**task(A).params, "refused": {B: "out_of_scope"}, "codes": {B: "E-SCOPE-020"}}
            )
            found = await SMTP.observe(asked, LoopbackDoor({(A, 25): place}))
            assert isinstance(found, SmtpFacts)
            return found

    assert [(one.address, one.state, one.code) for one in asyncio.run(ask()).answers] == [
        (A, "greeted", ""),
        (B, "out_of_scope", "E-SCOPE-020"),
    ]


def in_turns(*conversations: Conversation) -> Conversation:
    """A server that treats each connection as the next conversation does, the last one for ever."""
    left = list(conversations)

    async def converse(reader: StreamReader, writer: StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(reader, writer)

    return converse


async def visits(conversation: Conversation) -> tuple[SmtpFacts | NotSeen, LoopbackDoor]:
    async with scripted(conversation) as place:
        door = LoopbackDoor({(A, 25): place}, patience=0.5)
        try:
            return await at(door, A), door
        except NotSeen as unseen:
            return unseen, door


BUSY = [
    ("421 too many\r\n",),
    ("220 ready\r\n", "421 too many\r\n"),
    ("220 ready\r\n", "250-mx\r\n250 STARTTLS\r\n", "421 too many\r\n"),
]


@pytest.mark.parametrize("replies", BUSY)
def test_of_a_server_that_says_421_twice_nothing_is_used(replies: tuple[str, ...]) -> None:
    unseen, door = asyncio.run(visits(talk(*replies)))

    assert isinstance(unseen, NotSeen)
    assert (unseen.reason, unseen.code) == (Reason.RATE_LIMITED, None)
    assert (len(door.connections), door.pushes) == (2, [A]), "one pause, and no third try"


@pytest.mark.parametrize("replies", BUSY)
def test_421_at_one_address_makes_the_whole_answer_unusable(replies: tuple[str, ...]) -> None:
    with pytest.raises(NotSeen) as unseen:
        asyncio.run(observe({A: talk("220 ready\r\n", "250 mx\r\n"), B: talk(*replies)}))

    assert unseen.value.reason is Reason.RATE_LIMITED


@pytest.mark.parametrize("first", [*BUSY[:2], ("451 later\r\n",)])
def test_a_server_that_is_busy_only_once_is_seen(first: tuple[str, ...]) -> None:
    facts, door = asyncio.run(visits(in_turns(talk(*first), talk("220 ready\r\n", f"{EXTENSIONS}250 HELP\r\n"))))

    assert isinstance(facts, SmtpFacts)
    assert [answer.starttls for answer in facts.answers] == ["not_offered"]
    assert (len(door.connections), door.pushes) == (2, [A])


def test_a_server_that_hangs_up_is_tried_once_more_and_stays_a_reset() -> None:
    async def hang_up(_reader: StreamReader, _writer: StreamWriter) -> None:
        return

    facts, door = asyncio.run(visits(hang_up))

    assert isinstance(facts, SmtpFacts)
    assert [answer.state for answer in facts.answers] == ["reset"]
    assert len(door.connections) == 2
