"""Proof by packet counter: whole scans inside a network namespace in which every address there is belongs to us.

The namespace has no way out. The kernel counts and a packet socket records what is really sent, and the tests hold
that against the authorisations and the audit trail. Needs root; skipped with a reason elsewhere.
"""
