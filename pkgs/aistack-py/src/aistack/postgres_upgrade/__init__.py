"""PostgreSQL to another major version: checked, carried over, compared, and put back if need be."""
