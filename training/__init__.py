"""How the demo model's weights are made: a renderer, prompts for it, a trainer, a judge.

Nothing in `turbostream` imports this package; it is not used by the server.
"""
