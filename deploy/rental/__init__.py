"""Renting at Vast.ai: the client, the offers, one rental's life. See the modules."""
