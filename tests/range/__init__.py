"""The practice range stands, answers real clients, changes and goes away."""
