"""Exact rewrites of modules, one technique a file."""
