"""Rules of the web family."""
