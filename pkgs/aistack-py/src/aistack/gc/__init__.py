"""Garbage collection: a planner that only reads, an applier that only applies a plan."""
