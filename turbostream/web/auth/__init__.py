"""Who may ask, and how often: identity, tokens, failed logins, rates.

Imports Flask, `stream` and `settings`, and no other room of `web`.
"""
