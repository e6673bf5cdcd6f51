"""A self-hosted AI stack: knowledge base and hybrid search over HTTP and MCP."""

__version__ = "0.1.0"
