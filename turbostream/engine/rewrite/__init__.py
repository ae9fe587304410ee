"""Exact rewrites of modules, one technique per file."""
