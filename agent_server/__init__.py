"""A server that runs tool-using agents. This package's public API is what tool authors import."""

from agent_server.errors import AgentServerError, ToolError
from agent_server.tooling import Tool, ToolContext, tool

__all__ = ["AgentServerError", "Tool", "ToolContext", "ToolError", "tool"]
