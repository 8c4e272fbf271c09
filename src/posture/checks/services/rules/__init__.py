"""Rules of the services family."""
