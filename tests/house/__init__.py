"""Tests of the house itself: contracts, catalogue, documents, fence."""
