"""The one chain of schema changes, and its runner."""
