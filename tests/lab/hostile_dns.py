"""Name servers that lie, flood, cut short and go round in circles (RFC 1035): over UDP, and over TCP."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable

from posture.range.listening import Conversation, Peer
from tests.lab.misbehaviour import INJECTION, drips, floods, half_closes, hang_up, resets, says, silent, stays


def dns_reply(
    query: bytes, *, flags: int = 0x8180, counts: tuple[int, int, int, int] = (1, 0, 0, 0), rest: bytes = b""
) -> bytes:
    """The query's id and question under a header of our own; ``rest`` follows."""
    end = query.index(b"\0", 12) + 5 if b"\0" in query[12:] else len(query)
    return query[:2] + struct.pack("!H4H", flags, *counts) + query[12:end] + rest


def _wrong_id(query: bytes) -> bytes:
    reply = dns_reply(query)
    return bytes([reply[0] ^ 0xFF]) + reply[1:]


_SELF = b"\xc0\x0c"  # a pointer to the question's name
_CNAME_TO_ITSELF = _SELF + struct.pack("!HHIH", 5, 1, 60, 2) + _SELF
_A_CUT_SHORT = _SELF + struct.pack("!HHIH", 1, 1, 60, 4) + b"\x7f"
_A_OF_NINE = _SELF + struct.pack("!HHIH", 1, 1, 60, 9) + b"\x7f" * 9
_TXT_LYING = _SELF + struct.pack("!HHIH", 16, 1, 60, 4) + b"\xffabc"
_TXT_INJECTING = _SELF + struct.pack("!HHIHB", 16, 1, 60, len(INJECTION) + 1, len(INJECTION)) + INJECTION
_RECORD_OF_ANOTHER = b"\x04evil\x04test\0" + struct.pack("!HHIH", 1, 1, 60, 4) + b"\xa9\xfe\xa9\xfe"
_OTHER_QUESTION = b"\x04evil\x04test\x00\x00\x01\x00\x01"

_NUMBER = itertools.count()


def _one_alias_more(query: bytes) -> bytes:
    """Every name is an alias of another one that nobody has heard of."""
    target = b"\x10%016x" % next(_NUMBER) + b"\x04evil\x04test\0"
    return dns_reply(query, counts=(1, 1, 0, 0), rest=_record(5, target))


def _record(rdtype: int, data: bytes) -> bytes:
    return _SELF + struct.pack("!HHIH", rdtype, 1, 60, len(data)) + data


def _addresses(query: bytes) -> bytes:
    """Two thousand addresses, among them all that nobody may be led to."""
    bait = [b"\xa9\xfe\xa9\xfe", b"\x7f\0\0\1", b"\0\0\0\0", b"\xff\xff\xff\xff"]
    records = [_record(1, bytes(each)) for each in bait] + [
        _record(1, struct.pack("!HH", 0xC000, n)) for n in range(2000)
    ]
    return dns_reply(query, counts=(1, len(records), 0, 0), rest=b"".join(records))


_TXT_OF_60_KILOBYTES = _record(16, (b"\xff" + b"v" * 255) * 234)
_SPF_OF_ITSELF = _record(16, b"\x29v=spf1 include:www.gov.example a mx -all ")
_EMPTY_STRINGS = _record(16, bytes(60_000))


DNS: dict[str, Callable[[bytes], bytes | None]] = {
    "silent": lambda _: None,
    "empty": lambda _: b"",
    "three_bytes": lambda query: query[:3],
    "garbage": lambda _: INJECTION,
    "echo": lambda query: query,
    "wrong_id": _wrong_id,
    "wrong_question": lambda query: query[:2] + struct.pack("!H4H", 0x8180, 1, 0, 0, 0) + _OTHER_QUESTION,
    "no_question": lambda query: dns_reply(query, counts=(0, 0, 0, 0))[:12],
    "lying_counts": lambda query: dns_reply(query, counts=(1, 65535, 65535, 65535)),
    "truncated": lambda query: dns_reply(query, flags=0x8380),
    "servfail": lambda query: dns_reply(query, flags=0x8182),
    "refused": lambda query: dns_reply(query, flags=0x8185),
    "rcode_from_nowhere": lambda query: dns_reply(query, flags=0x818E),
    "pointer_loop": lambda query: dns_reply(
        query, counts=(1, 1, 0, 0), rest=struct.pack("!H", 0xC000 | len(dns_reply(query)))
    ),
    "pointer_beyond": lambda query: dns_reply(
        query, counts=(1, 1, 0, 0), rest=b"\xff\xff" + struct.pack("!HHIH", 1, 1, 1, 0)
    ),
    "label_type_from_nowhere": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=b"\x80x\0"),
    "alias_of_itself": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_CNAME_TO_ITSELF),
    "record_cut_short": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_A_CUT_SHORT),
    "address_of_nine_bytes": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_A_OF_NINE),
    "string_longer_than_its_record": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_TXT_LYING),
    "injecting_text": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_TXT_INJECTING),
    "formerr": lambda query: dns_reply(query, flags=0x8181),
    "nxdomain_without_soa": lambda query: dns_reply(query, flags=0x8183),
    "nothing_without_soa": lambda query: dns_reply(query),
    "referral_to_nowhere": lambda query: dns_reply(
        query, flags=0x8180, counts=(1, 0, 1, 0), rest=_record(2, b"\x04evil\x04test\0")
    ),
    "records_of_another": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_RECORD_OF_ANOTHER),
    "alias_of_another_for_ever": _one_alias_more,
    "thousands_of_addresses": _addresses,
    "text_of_60_kilobytes": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_TXT_OF_60_KILOBYTES),
    "text_of_empty_strings": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_EMPTY_STRINGS),
    "policy_that_includes_itself": lambda query: dns_reply(query, counts=(1, 1, 0, 0), rest=_SPF_OF_ITSELF),
    "a_query_instead": lambda query: dns_reply(query, flags=0x0100),
    "lying_edns": lambda query: dns_reply(query, counts=(1, 0, 0, 1), rest=b"\0\0\x29\xff\xff\xff\xff\xff\xff\xff\xff"),
}


def framed(answer: Callable[[bytes], bytes | None]) -> Conversation:
    """The answers of a server over UDP, behind their length (RFC 7766 section 8)."""

    async def converse(peer: Peer) -> None:
        length = int.from_bytes(await peer.read_exactly(2))
        reply = answer(await peer.read_exactly(length))
        if reply is not None:
            await peer.say(len(reply).to_bytes(2) + reply)
        await silent(peer)

    return converse


async def _transfer_for_ever(peer: Peer) -> None:
    """Begins to give the zone away, and never ends: a new address record in every message."""
    query = (await peer.read(65536))[2:]
    soa = _SELF + struct.pack("!HHIH", 6, 1, 60, 22) + b"\0\0" + bytes(20)
    first = dns_reply(query, flags=0x8400, counts=(1, 1, 0, 0), rest=soa)
    await peer.say(struct.pack("!H", len(first)) + first)
    for number in itertools.count():
        records = b"".join(_record(1, struct.pack("!I", 0x7F000000 + number * 100 + each)) for each in range(100))
        message = dns_reply(query, flags=0x8400, counts=(1, 100, 0, 0), rest=records)
        await peer.say(struct.pack("!H", len(message)) + message)


async def _truncated_again(peer: Peer) -> None:
    """Says over TCP, too, that the answer is cut short."""
    query = (await peer.read(65536))[2:]
    reply = dns_reply(query, flags=0x8380)
    await peer.say(struct.pack("!H", len(reply)) + reply)


DNS_TCP: dict[str, Conversation] = {
    "silent": silent,
    "hang_up": hang_up,
    "reset": resets(),
    "lying_length": stays(b"\xff\xff" + b"x" * 20),
    "length_zero": stays(b"\0\0"),
    "half_a_length": says(b"\x00"),
    "drip": drips(b"\x40\x00" + b"x" * 1000),
    "messages_for_ever": floods(b"", b"\x00\x0c" + bytes(12)),
    "half_closes": half_closes,
    "transfer_for_ever": _transfer_for_ever,
    "truncated_again": _truncated_again,
    "text_of_60_kilobytes": framed(DNS["text_of_60_kilobytes"]),
    "text_of_empty_strings": framed(DNS["text_of_empty_strings"]),
    "thousands_of_addresses": framed(DNS["thousands_of_addresses"]),
}
