"""Our TLS prober beside sslyze, openssl s_client, gnutls-cli and sslscan, on a lab of real servers with planted faults."""
