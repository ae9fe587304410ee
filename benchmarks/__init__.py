"""Benchmarks: programs that print a table for people, then one JSON line for programs."""
