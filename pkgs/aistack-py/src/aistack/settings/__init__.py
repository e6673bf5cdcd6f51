"""The one configuration schema, and reading it."""
