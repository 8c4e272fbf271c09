"""Recorded answers of the practice range, and the verdicts expected of them: what a change of a rule moves is seen here."""
