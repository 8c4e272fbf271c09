"""Tests of the command line: what a person types, what comes back where, and with which exit code."""
