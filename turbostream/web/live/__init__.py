"""The live stream: what each viewer gets, when, and how fast it reads. The gevent thread only.

Imports gevent, `stream` and `settings`; neither Flask nor another room of `web`, so that everything
here runs under any HTTP server.
"""
