"""Differential tests: what others find out about the same servers, and where they and we differ."""
