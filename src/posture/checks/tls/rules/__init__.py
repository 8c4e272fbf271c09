"""Rules of the tls family."""
