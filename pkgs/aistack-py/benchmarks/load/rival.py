"""mcp-server-qdrant as it is, but for the embedding: its own would fetch a model from a hub.

    QDRANT_URL=... COLLECTION_NAME=... python rival.py PORT

Runs where mcp-server-qdrant is installed (`rival.txt`), which wants other versions than AIDB.
"""

import os
import sys

from embedding import DIMENSION, embed
from mcp_server_qdrant.embeddings.base import EmbeddingProvider
from mcp_server_qdrant.mcp_server import QdrantMCPServer
from mcp_server_qdrant.settings import QdrantSettings, ToolSettings

VECTOR = "fast-words"


class Words(EmbeddingProvider):
    """The embedding that AIDB's endpoint gives."""

    async def embed_documents(self, documents: list[str]) -> list[list[float]]:
        """One vector a text."""
        return [embed(text) for text in documents]

    async def embed_query(self, query: str) -> list[float]:
        """The vector of a question."""
        return embed(query)

    def get_vector_name(self) -> str:
        """What the collection calls it."""
        return VECTOR

    def get_vector_size(self) -> int:
        """Numbers of a vector."""
        return DIMENSION


if __name__ == "__main__":
    os.environ["FASTMCP_LOG_LEVEL"] = "WARNING"
    server = QdrantMCPServer(ToolSettings(), QdrantSettings(), embedding_provider=Words())
    server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
