"""Documents, their index and search over both."""
