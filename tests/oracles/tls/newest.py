"""A web server by the OpenSSL that pyOpenSSL brings along, newer than the distribution's: it knows ML-KEM.

python newest.py ADDRESS PORT CHAIN KEY GROUPS
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

CONFIGURATION = "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = own\n[own]\nGroups = {groups}\n"
PAGE = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def main(address: str, port: str, chain: str, key: str, groups: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "openssl.cnf"
        settings.write_text(CONFIGURATION.format(groups=groups))
        os.environ["OPENSSL_CONF"] = str(settings)
        from OpenSSL import SSL  # reads the configuration when it is loaded

        context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(chain)
    context.use_privatekey_file(key)
    listening = socket.create_server((address, int(port)), backlog=100)
    while True:
        plain, _ = listening.accept()
        with plain, contextlib.suppress(OSError):
            try:
                serve(SSL.Connection(context, plain))
            except SSL.Error:
                # OpenSSL 4 reads no more than the head of what is no TLS: unread, the rest would end in a reset.
                plain.recv(65536, socket.MSG_DONTWAIT)


def serve(connection: Any) -> None:
    connection.set_accept_state()
    connection.do_handshake()
    connection.recv(4096)
    connection.sendall(PAGE)
    connection.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
