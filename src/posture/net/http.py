"""One GET through httpx on our own connections: no redirect, no proxy, no cookie, everything bounded."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpcore
import httpx
from OpenSSL import SSL

from posture.door import Response, Stream
from posture.model import NotSeen, Reason
from posture.net.tls import TlsStream

HEAD_BYTES = 65_536
HEAD_FIELDS = 100
FIELD_BYTES = 8192
BODY_BYTES = 262_144
# While the head is read in small steps, its cap is exact enough and no body is taken for head.
HEAD_STEP = 4096
BODY_STEP = 65_536


@dataclass(slots=True)
class _Exchange:
    """What one request brings to light below HTTP."""

    chain: tuple[bytes, ...] = ()
    head_bytes: int = 0
    in_head: bool = True
    ended: bool = False
    streams: list[Stream] = field(default_factory=list)


async def get(
    url: str, *, dial: Callable[[], Awaitable[Stream]], tls_context: SSL.Context, user_agent: str, body_limit: int
) -> Response:
    """GETs ``url`` over one connection made by ``dial``; the caller bounds the time.

    Args:
        body_limit: bytes of decoded body wanted, at most 256 kB; 0 leaves the body unread.

    Raises:
        NotThere, NotSeen: from ``dial`` and the stream; MALFORMED and TRUNCATED for what is not a whole HTTP answer.
    """
    exchange = _Exchange()
    headers = {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
    transport = _Transport(_Backend(dial, tls_context, exchange))
    try:
        async with (
            httpx.AsyncClient(transport=transport, trust_env=False, timeout=None, follow_redirects=False) as client,  # noqa: S113 - the deadline is the stream's, absolute
            client.stream("GET", url, headers=headers) as answer,
        ):
            exchange.in_head = False
            fields = _fields(answer)
            body = await _body(answer, min(body_limit, BODY_BYTES)) if body_limit else b""
            return Response(url, answer.status_code, fields, body, exchange.chain)
    except (httpcore.RemoteProtocolError, httpcore.LocalProtocolError) as fault:
        reason = Reason.TRUNCATED if exchange.ended else Reason.MALFORMED
        raise NotSeen(reason, f"HTTP: {str(fault)[:200]}") from fault
    except (httpx.HTTPError, httpx.InvalidURL) as fault:  # httpx looks at Location even when it may not follow it
        raise NotSeen(Reason.MALFORMED, f"HTTP: {str(fault)[:200]}") from fault
    except zlib.error as fault:
        raise NotSeen(Reason.MALFORMED, "HTTP: a body that does not decompress") from fault
    finally:
        for stream in exchange.streams:
            await stream.__aexit__(None, None, None)


def _fields(answer: httpx.Response) -> tuple[tuple[str, str], ...]:
    raw = answer.headers.raw
    if len(raw) > HEAD_FIELDS:
        raise NotSeen(Reason.MALFORMED, f"HTTP: more than {HEAD_FIELDS} header fields")
    return tuple((name.decode("latin-1").lower(), value[:FIELD_BYTES].decode("latin-1")) for name, value in raw)


async def _body(answer: httpx.Response, limit: int) -> bytes:
    """The first ``limit`` bytes, decompressed step by step, so that a small answer cannot become a large one."""
    coding = answer.headers.get("content-encoding", "").strip().lower()
    inflate = zlib.decompressobj(wbits=47) if coding in ("gzip", "x-gzip", "deflate") else None
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += inflate.decompress(piece, limit - len(body)) if inflate else piece[: limit - len(body)]
        if len(body) >= limit:
            break
    return bytes(body)


class _Transport(httpx.AsyncBaseTransport):
    """httpx's transport on a given network backend (its own would open sockets and load a trust store)."""

    def __init__(self, backend: _Backend) -> None:
        # The context only satisfies httpcore; the handshake is TlsStream's.
        unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=unused, max_connections=1, max_keepalive_connections=0, network_backend=backend
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions)

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._answer.aiter_stream():
            yield piece

    async def aclose(self) -> None:
        await self._answer.aclose()


class _Backend(httpcore.AsyncNetworkBackend):
    """Gives httpcore connections that the broker made; the host it asks for is only a name to say."""

    def __init__(self, dial: Callable[[], Awaitable[Stream]], tls: SSL.Context, exchange: _Exchange) -> None:
        self._dial = dial
        self._tls = tls
        self._exchange = exchange

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - httpcore's signature; the address is the broker's to choose
        port: int,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._dial()
        self._exchange.streams.append(stream)
        return _NetworkStream(stream, stream, self._tls, self._exchange)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _NetworkStream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: Stream, inner: Stream | TlsStream, tls: SSL.Context, exchange: _Exchange) -> None:
        self._stream = stream
        self._inner = inner
        self._tls = tls
        self._exchange = exchange

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - deadlines are the stream's
        exchange = self._exchange
        data = await self._inner.read(min(max_bytes, HEAD_STEP if exchange.in_head else BODY_STEP))
        exchange.ended = not data
        if exchange.in_head:
            if exchange.head_bytes == 0 and data and data[:5] != b"HTTP/"[: len(data)]:
                raise NotSeen(Reason.MALFORMED, "HTTP: the answer is not HTTP")
            exchange.head_bytes += len(data)
            if exchange.head_bytes > HEAD_BYTES:
                raise NotSeen(Reason.MALFORMED, f"HTTP: a head of more than {HEAD_BYTES} bytes")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        await self._inner.write(buffer)

    async def aclose(self) -> None:
        await self._stream.__aexit__(None, None, None)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,  # noqa: ARG002
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        secured = TlsStream(self._stream, self._tls, server_hostname or "")
        await secured.handshake()
        self._exchange.chain = secured.chain()
        return _NetworkStream(self._stream, secured, self._tls, self._exchange)

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002
        return None
