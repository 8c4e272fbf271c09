"""A TLS server by the OpenSSL that pyOpenSSL brings along, newer than the distribution's: it knows ML-KEM.

python openssl35.py PORT CHAIN KEY GROUPS
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
from pathlib import Path

CONFIGURATION = "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = own\n[own]\nGroups = {groups}\n"


def main(port: int, chain: str, key: str, groups: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "openssl.cnf"
        settings.write_text(CONFIGURATION.format(groups=groups))
        os.environ["OPENSSL_CONF"] = str(settings)
        from OpenSSL import SSL  # reads the configuration when it is loaded

        context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(chain)
    context.use_privatekey_file(key)
    listening = socket.create_server(("127.0.0.1", port))
    while True:
        plain, _ = listening.accept()
        with plain, contextlib.suppress(SSL.Error, OSError):
            plain.settimeout(5)
            plain.setblocking(True)
            connection = SSL.Connection(context, plain)
            connection.set_accept_state()
            connection.do_handshake()
            connection.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
