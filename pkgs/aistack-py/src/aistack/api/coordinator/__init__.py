"""The coordinator's endpoints and tools."""
