"""How the demo model's weights are made: a renderer, phrases for it, a trainer, a judge.

Nothing in `turbostream` imports this package; it runs on a desk, not on the server.
"""
