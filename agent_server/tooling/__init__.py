"""Declaring tools: what tool authors use. Cheap to import: no JSON Schema library is loaded here.

``registry`` (the server's view), ``loader`` (files into tools) and ``invoke`` (one call, in the
sandbox's child) are imported by those who need them.
"""

from agent_server.tooling.context import ToolContext
from agent_server.tooling.decorator import Tool, tool
from agent_server.tooling.spec import ToolSpec

__all__ = ["Tool", "ToolContext", "ToolSpec", "tool"]
