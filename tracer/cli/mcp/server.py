"""The server: lists its tools and resources, and does what a client asks for.

Standard output belongs to the protocol: what libraries print goes to standard error.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)
from pydantic import ValidationError

from tracer import __version__
from tracer.cli import options
from tracer.cli.mcp.folders import Folders
from tracer.cli.mcp.judging import JUDGING
from tracer.cli.mcp.links import TEMPLATES, listed_links, read_link
from tracer.cli.mcp.looking import LOOKING
from tracer.cli.mcp.tool import McpTool, ToolAnswer, ToolArguments, Workplace
from tracer.cli.mcp.work import done_in_thread
from tracer.cli.measuring import Measuring
from tracer.cli.output import os_sentence
from tracer.engine.store import Store, root
from tracer.errors import TracerError, show, unknown

TOOLS = {tool.name: tool for tool in (*LOOKING, *JUDGING)}
INSTRUCTIONS = (
    "Tests claims about the inside of a language model. Ask what the model answers, take graphs "
    "and look at features to find a claim; write it as a hypothesis file (`tracer schema`, "
    "docs/hypothesis.md); validate, plan and run it. Prompts marked held_out must not be used to "
    "find or tune anything. Report the verdict as it is, with its caveats."
)
_OURS = "This is a mistake in tracer itself; its traceback is on the server's standard error."
_logger = logging.getLogger(__name__)
Context = ServerRequestContext[Any]


class CircuitServer:
    """What answers the requests of one client."""

    def __init__(self, at: Workplace) -> None:
        self._at = at
        self._model = asyncio.Lock()

    async def tools(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        """Every tool, with the schemas of its arguments and of its result."""
        return ListToolsResult(tools=[_described(tool) for tool in TOOLS.values()])

    async def call(self, context: Context, asked: CallToolRequestParams) -> CallToolResult:
        """What a tool gives; mistakes of the client come back as a sentence."""
        tool = TOOLS.get(asked.name)
        if tool is None:
            return _refused(unknown("tool", asked.name, TOOLS))
        try:
            arguments = tool.arguments.model_validate(asked.arguments or {})
        except ValidationError as error:
            return _refused(_mistakes(tool, error))
        try:
            return _result(await self._done(tool, arguments, context))
        except TracerError as error:
            return _refused(str(error))
        except OSError as error:
            return _refused(os_sentence(error))
        except Exception:
            _logger.exception("the tool %s failed", tool.name)
            return _refused(_OURS)

    async def _done(self, tool: McpTool, arguments: ToolArguments, context: Context) -> ToolAnswer:
        def work(progress: Any) -> ToolAnswer:
            return tool.call(arguments, self._at, progress)

        if not tool.uses_model:
            return await done_in_thread(work, context.session)
        async with self._model:
            return await done_in_thread(work, context.session)

    async def resources(self, _: Context, __: PaginatedRequestParams | None) -> ListResourcesResult:
        """The newest reports and graphs."""
        links = await anyio.to_thread.run_sync(listed_links, self._at.measuring.reports)
        return ListResourcesResult(resources=list(links))

    async def templates(
        self, _: Context, __: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """How all of them are named."""
        found = [
            ResourceTemplate(uri_template=uri, name=uri.rsplit("/", 1)[1], description=what)
            for uri, what in TEMPLATES.items()
        ]
        return ListResourceTemplatesResult(resource_templates=found)

    async def read(self, _: Context, asked: ReadResourceRequestParams) -> ReadResourceResult:
        """The text of a report or a graph.

        Raises:
            MCPError: There is no such thing, or it cannot be read.
        """
        uri, at = str(asked.uri), self._at
        try:
            found = await anyio.to_thread.run_sync(read_link, uri, at.measuring.reports, at.folders)
        except TracerError as error:
            raise MCPError(code=INVALID_PARAMS, message=str(error)) from None
        except OSError as error:
            raise MCPError(code=INVALID_PARAMS, message=os_sentence(error)) from None
        contents = TextResourceContents(uri=uri, mime_type=found.mime_type, text=found.text)
        return ReadResourceResult(contents=[contents])


def serve(folders: Sequence[Path]) -> None:
    """Answer one client on standard input and output until it goes.

    Args:
        folders: That tools may use; the first becomes the working folder.
    """
    allowed = Folders.of(folders)
    os.chdir(allowed.roots[0])
    measuring = Measuring(
        options.REPORTS, lock=None, fresh=False, keep_going=False, store=Store(root())
    )
    anyio.run(_serve, Workplace(allowed, measuring))


async def _serve(at: Workplace) -> None:
    answers = CircuitServer(at)
    server = Server[Any](
        "tracer",
        version=__version__,
        instructions=INSTRUCTIONS,
        on_list_tools=answers.tools,
        on_call_tool=answers.call,
        on_list_resources=answers.resources,
        on_list_resource_templates=answers.templates,
        on_read_resource=answers.read,
    )
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def _described(tool: McpTool) -> Tool:
    return Tool(
        name=tool.name,
        description=" ".join((tool.call.__doc__ or "").split()),
        input_schema=tool.arguments.model_json_schema(),
        output_schema=tool.document.model_json_schema(mode="serialization"),
        annotations=ToolAnnotations(
            read_only_hint=tool.is_read_only,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        ),
    )


def _result(told: ToolAnswer) -> CallToolResult:
    content: list[ContentBlock] = [TextContent(text=told.words), *told.links]
    data = told.document.model_dump(mode="json", by_alias=True)
    return CallToolResult(content=content, structured_content=data, is_error=told.is_error)


def _refused(sentence: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=sentence)], is_error=True)


def _mistakes(tool: McpTool, error: ValidationError) -> str:
    """What is wrong with the arguments, a line each."""
    lines: list[str] = []
    for each in error.errors():
        where = ".".join(str(part) for part in each["loc"])
        if each["type"] == "extra_forbidden":
            lines.append(f"{tool.name}: {unknown('argument', where, tool.arguments.model_fields)}")
        elif each["type"] == "missing":
            lines.append(f"{tool.name}: the argument {where!r} is missing.")
        else:
            lines.append(f"{tool.name}: {where}: {each['msg']}; found {show(each['input'])}.")
    return "\n".join(lines)
