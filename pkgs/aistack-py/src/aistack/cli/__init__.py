"""The thin edge that people and timers call."""
