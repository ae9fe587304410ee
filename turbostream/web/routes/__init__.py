"""The routes, one concern to a file: each has one `add_routes`, which the factory calls.

Imports `live`, `auth`, `context`, `stream` and `settings`, never `http`; no route imports another.
"""
