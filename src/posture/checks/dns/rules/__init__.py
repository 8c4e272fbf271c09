"""Rules of the dns family."""
