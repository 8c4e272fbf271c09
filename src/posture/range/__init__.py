"""The practice range: an example State of small misconfigured servers on loopback, for the demo and for training.

It only listens, and only on 127.0.20.0/24. No root, no network.
"""

from __future__ import annotations

from posture.range.layout import Planted
from posture.range.lessons import LESSONS, Lesson, lesson
from posture.range.practice import PracticeRange, serve_forever

__all__ = ["LESSONS", "Lesson", "Planted", "PracticeRange", "lesson", "serve_forever"]
