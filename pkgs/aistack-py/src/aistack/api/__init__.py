"""The thin edge that speaks HTTP and MCP."""
