"""Writes down every SYN, FIN, RST and datagram that leaves a socket of this namespace: python -m tests.netns.recorder FILE

One line a packet, in the order of sending:

    TIME PROTOCOL FLAGS SOURCE SPORT DESTINATION DPORT SEQUENCE

TIME is Unix time in seconds; FLAGS are letters of S, A, F, R (TCP) or "-"; SEQUENCE is 0 for datagrams. The last line
is "end DROPPED", the packets that the kernel could not hand over; a recording without it is not whole.
"""

from __future__ import annotations

import ctypes
import selectors
import signal
import socket
import struct
import sys
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

ETH_P_ALL = 0x0003
SO_ATTACH_FILTER, SO_TIMESTAMPNS, SO_RCVBUFFORCE = 26, 35, 33
SOL_PACKET, PACKET_STATISTICS = 263, 6
TCP, UDP = 6, 17
FLAGS = ((0x02, "S"), (0x10, "A"), (0x01, "F"), (0x04, "R"))
ROOM = 64 * 1024 * 1024

# Classic BPF over the IP header: datagrams, and segments with FIN, SYN or RST; (code, jump if true, if false, value).
_LOAD, _LOAD_X, _LOAD_AT_X, _SHIFT, _EQUALS, _SET, _RETURN = 0x30, 0xB1, 0x50, 0x74, 0x15, 0x45, 0x06
PROGRAM = (
    (_LOAD, 0, 0, 0),
    (_SHIFT, 0, 0, 4),
    (_EQUALS, 0, 6, 4),  # IPv4: protocol, then the flags behind a header of any length
    (_LOAD, 0, 0, 9),
    (_EQUALS, 10, 0, UDP),
    (_EQUALS, 0, 10, TCP),
    (_LOAD_X, 0, 0, 0),
    (_LOAD_AT_X, 0, 0, 13),
    (_SET, 6, 7, 0x07),
    (_EQUALS, 0, 6, 6),  # IPv6 without extension headers
    (_LOAD, 0, 0, 6),
    (_EQUALS, 3, 0, UDP),
    (_EQUALS, 0, 3, TCP),
    (_LOAD, 0, 0, 53),
    (_SET, 0, 1, 0x07),
    (_RETURN, 0, 0, 65535),
    (_RETURN, 0, 0, 0),
)


def attach(packets: socket.socket) -> None:
    """Lets only what is written down through."""
    code = b"".join(struct.pack("HBBI", *line) for line in PROGRAM)
    held = ctypes.create_string_buffer(code)
    program = struct.pack("HL", len(PROGRAM), ctypes.addressof(held))
    packets.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def line_of(time: float, packet: bytes) -> str:
    """The line of one IP packet; IPv6 without extension headers."""
    if packet[0] >> 4 == 4:
        start, protocol = (packet[0] & 15) * 4, packet[9]
        source, destination = str(IPv4Address(packet[12:16])), str(IPv4Address(packet[16:20]))
    else:
        start, protocol = 40, packet[6]
        source, destination = str(IPv6Address(packet[8:24])), str(IPv6Address(packet[24:40]))
    sport, dport = struct.unpack_from("!HH", packet, start)
    if protocol == UDP:
        return f"{time:.6f} udp - {source} {sport} {destination} {dport} 0\n"
    flags = "".join(letter for bit, letter in FLAGS if packet[start + 13] & bit)
    (sequence,) = struct.unpack_from("!I", packet, start + 4)
    return f"{time:.6f} tcp {flags} {source} {sport} {destination} {dport} {sequence}\n"


def record(path: Path) -> None:
    """Until SIGTERM."""
    over, bell = socket.socketpair()
    signal.signal(signal.SIGTERM, lambda *_: bell.send(b"."))
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    packets.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    packets.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    attach(packets)
    packets.setblocking(False)
    with suppress(BlockingIOError):  # what came in before the filter was there
        while True:
            packets.recv(1)
    with path.open("w", encoding="ascii") as file, selectors.DefaultSelector() as waiting:
        waiting.register(packets, selectors.EVENT_READ)
        waiting.register(over, selectors.EVENT_READ)
        print("ready", flush=True)
        ending = False
        while not ending:
            ending = any(key.fileobj is over for key, _ in waiting.select())
            while (line := _next(packets)) is not None:
                file.write(line)
        _, dropped = struct.unpack("II", packets.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        file.write(f"end {dropped}\n")


def _next(packets: socket.socket) -> str | None:
    """The line of the next packet, "" for the copy that comes in again over loopback; None when there is no more."""
    try:
        data, ancillary, _, link = packets.recvmsg(256, 64)
    except BlockingIOError:
        return None
    if link[2] != socket.PACKET_OUTGOING:
        return ""
    stamp = next(value for level, kind, value in ancillary if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS))
    seconds, nanoseconds = struct.unpack("qq", stamp[:16])
    return line_of(seconds + nanoseconds / 1e9, data)


if __name__ == "__main__":
    record(Path(sys.argv[1]))
