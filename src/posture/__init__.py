"""posture: national cyber-resilience scanning for small States. We write down what the wire said, then decide."""

__version__ = "0.1.0"
