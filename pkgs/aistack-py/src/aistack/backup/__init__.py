"""Backups: taken, kept by a plan, and proved by restoring."""
