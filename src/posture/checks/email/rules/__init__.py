"""Rules of the email family."""
