"""Servers that the demo brings along where none is installed."""
