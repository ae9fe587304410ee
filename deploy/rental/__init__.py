"""Renting at Vast.ai: the client, the offers, the lifecycle of a rental, and what runs on it."""
