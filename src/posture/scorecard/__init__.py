"""posture-score/1: what the current state is worth, per ministry and for the State. Pure."""

from posture.scorecard.explanation import Line, explain
from posture.scorecard.formula import MODEL, PILLARS, is_overdue, letter_of, scorecard
from posture.scorecard.records import Addend, Cap, Pillar, Score, Scorecard, ScoredAsset, Standing, Weighed, instant

__all__ = [
    "MODEL",
    "PILLARS",
    "Addend",
    "Cap",
    "Line",
    "Pillar",
    "Score",
    "Scorecard",
    "ScoredAsset",
    "Standing",
    "Weighed",
    "explain",
    "instant",
    "is_overdue",
    "letter_of",
    "scorecard",
]
