"""The HTTP server: h11 parses request heads, gevent waits, and no connection can block the loop.

Imports gevent and `settings`; neither Flask, nor `stream`, nor another room of `web`.
"""
