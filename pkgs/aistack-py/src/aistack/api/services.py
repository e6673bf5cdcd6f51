"""The services that one stack can serve: each has endpoints, tools and a section of settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from aistack.api import collections, documents, issues, keys, mcp_tools, ops, query, reports
from aistack.api.coordinator import augment, interactions, solutions, tools, training
from aistack.api.endpoint import Endpoint
from aistack.api.mcp_tools import Tool
from aistack.settings.schema import Server, Settings

ServiceName = Literal["aidb", "coordinator"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What is served on one port."""

    title: str
    """The name of its API."""
    instructions: str
    """What an agent is told by MCP."""
    endpoints: tuple[Endpoint, ...]
    tools: tuple[Tool, ...]
    server: Callable[[Settings], Server]
    """Its section of the settings."""


SERVICES: dict[ServiceName, Service] = {
    "aidb": Service(
        title="aistack",
        instructions="A knowledge base. Use search to find passages, then get_document to read "
        "around them.",
        endpoints=(
            *query.ENDPOINTS,
            *documents.ENDPOINTS,
            *collections.ENDPOINTS,
            *keys.ENDPOINTS,
            *issues.ENDPOINTS,
            *reports.ENDPOINTS,
            *ops.ENDPOINTS,
        ),
        tools=mcp_tools.TOOLS,
        server=lambda settings: settings.aidb,
    ),
    "coordinator": Service(
        title="aistack coordinator",
        instructions="It learns from what worked. Call augment_query before you answer a "
        "question, record_interaction after it, and set_outcome when you know how it ended.",
        endpoints=(
            *interactions.ENDPOINTS,
            *solutions.ENDPOINTS,
            *augment.ENDPOINTS,
            *training.ENDPOINTS,
            *ops.ENDPOINTS,
        ),
        tools=tools.TOOLS,
        server=lambda settings: settings.coordinator,
    ),
}
