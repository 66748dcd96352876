"""`tracer mcp` by a real client of the SDK over stdio: one server process for the whole file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from jsonschema import Draft202012Validator
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ResourceLink, TextContent, TextResourceContents

from tests.tiny_file import write_tiny
from tracer.cli.documents.registry import document_schema
from tracer.record.runs import find_runs

ROOT = Path(__file__).parent.parent
PROMPT = "the capital of Texas is"


@dataclass
class Agent:
    """A client that waits for its answers, and the folder that its server is confined to."""

    portal: BlockingPortal
    client: Client
    home: Path
    heard: list[str] = field(default_factory=list)

    def call(self, tool: str, **arguments: Any) -> CallToolResult:
        """What a tool gives, with what it told of its progress in `heard`."""
        self.heard.clear()

        async def told(progress: float, total: float | None, message: str | None) -> None:
            assert progress > len(self.heard) and total is None
            self.heard.append(message or "")

        async def call() -> CallToolResult:
            return await self.client.call_tool(tool, arguments, progress_callback=told)

        return self.portal.call(call)

    def data(self, tool: str, **arguments: Any) -> Any:
        """The structured result, which the client has held against the tool's schema."""
        found = self.call(tool, **arguments)
        assert not found.is_error, words(found)
        command = document_schema(tool)
        Draft202012Validator(command).validate(found.structured_content)
        return found.structured_content

    def refusal(self, tool: str, **arguments: Any) -> str:
        found = self.call(tool, **arguments)
        assert found.is_error
        assert "Traceback" not in words(found)
        return words(found)

    def text(self, uri: str) -> str:
        [found] = self.portal.call(self.client.read_resource, uri).contents
        assert isinstance(found, TextResourceContents)
        return found.text

    def asked(self, work: Callable[[], Awaitable[Any]]) -> Any:
        return self.portal.call(work)


def words(found: CallToolResult) -> str:
    first = found.content[0]
    assert isinstance(first, TextContent)
    return first.text


def links(found: CallToolResult) -> dict[str, str]:
    return {
        each.uri.rsplit("/", 1)[1]: each.uri
        for each in found.content
        if isinstance(each, ResourceLink)
    }


@pytest.fixture(scope="module")
def agent(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    home = tmp_path_factory.mktemp("agent")
    (home / "gemma").symlink_to(tiny)
    outside = home.parent / "outside.yaml"
    outside.write_text((write_tiny(home, "./gemma")).read_text())
    (home / "link.yaml").symlink_to(outside)
    folders = ("--root", str(home), "--root", str(tiny))
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "tracer", "mcp", *folders],
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(home / ".c")},
    )
    with (home / "server.log").open("w") as log, start_blocking_portal() as portal:
        connected = Client(stdio_client(server, log))
        with portal.wrap_async_context_manager(connected) as client:
            yield Agent(portal, client, home)


def test_tools_are_typed(agent: Agent):
    tools = {tool.name: tool for tool in agent.asked(agent.client.list_tools).tools}
    assert list(tools) == ["ask", "features", "graph", "validate", "plan", "run", "show", "compare"]
    for tool in tools.values():
        assert tool.output_schema is not None
        Draft202012Validator.check_schema(tool.output_schema)
        assert tool.input_schema["additionalProperties"] is False
        assert tool.description
    assert [name for name, tool in tools.items() if not tool.annotations.read_only_hint] == [
        "graph",
        "run",
    ]


def test_looking(agent: Agent):
    asked = agent.data("ask", prompts=[PROMPT], model="./gemma")
    [prompt] = asked["prompts"]
    assert [token["token"] for token in prompt["tokens"]][1:3] == ["the", " capital"]
    assert "running the prompts unclamped" in agent.heard
    again = agent.data("ask", prompts=[PROMPT], model="./gemma")
    assert again == asked
    assert not any("loading" in line for line in agent.heard)  # it is open
    card = agent.data("features", ids=["1_7"], model="./gemma", top=3)["features"][0]
    assert len(card["promoted"]) == 3
    taken = agent.call("graph", prompt=PROMPT, model="./gemma", max_features=20)
    assert taken.structured_content["graphs"][0]["n_kept"] == 20
    pages = links(taken)
    [page] = [uri for name, uri in pages.items() if name.endswith(".html")]
    assert agent.text(page).startswith("<!DOCTYPE html>")
    [written] = (agent.home / "graphs").glob("*.json")
    assert agent.text(pages[written.name]) == written.read_text()
    shared = {"consensus": True, "core": 0.5, "toward": [" Austin"], "max_features": 9}
    [core] = agent.data("graph", prompt="tiny.yaml", **shared)["graphs"]
    assert core["consensus"]["prompts"] == ["dallas", "oakland", "plano"]
    known = agent.data("graph", prompt=f"graphs/{written.name}")["graphs"][0]
    assert known["n_nodes"] == taken.structured_content["graphs"][0]["n_nodes"]


def test_from_file_to_verdict(agent: Agent):
    assert agent.data("validate", file="tiny.yaml")["exit_code"] == 0
    [plan] = agent.data("plan", file="tiny.yaml")["plans"]
    assert plan["rows"] == 28
    made = agent.call("run", file="tiny.yaml")
    [result] = made.structured_content["results"]
    assert "clamping" in agent.heard
    folder = agent.home / result["run"]
    verdict = json.loads((folder / "verdict.json").read_text())
    assert result["verdict"]["verdict"] == verdict["verdict"]
    assert not any(outcome["prompts"] for outcome in result["verdict"]["outcomes"])
    assert words(made).startswith("✘ REFUTED")
    found = links(made)
    assert agent.text(found["summary.md"]).startswith("### ✖ refuted: tiny")
    assert agent.text(found["report.html"]) == (folder / "report.html").read_text()
    assert json.loads(agent.text(found["verdict.json"])) == verdict
    assert set(found.values()) <= {
        r.uri for r in agent.asked(agent.client.list_resources).resources
    }
    shown = agent.data("show", run="tiny", per_prompt=True)
    assert shown["verdict"]["outcomes"] == verdict["outcomes"]
    assert agent.data("compare", a=shown["run"], b="latest")["same"] is True


def test_what_is_cancelled_stops_and_goes_on(agent: Agent):
    path = agent.home / "long.yaml"
    path.write_text(
        (agent.home / "tiny.yaml").read_text().replace("hypothesis: tiny", "hypothesis: long")
    )
    begun = threading.Event()

    async def told(progress: float, total: float | None, message: str | None) -> None:
        if message and message.startswith("clamping"):
            begun.set()

    def run() -> Any:
        arguments = {"file": "long.yaml", "set": ["controls.random=4000"]}
        return agent.client.call_tool("run", arguments, progress_callback=told)

    future = agent.portal.start_task_soon(run)
    assert begun.wait(60)
    future.cancel()
    [entry] = _waited(agent, "long")
    assert entry.status == "measuring"
    found = agent.data("run", file="long.yaml", set=["controls.random=4000"])
    assert any(f"continuing unfinished run {entry.id}" in line for line in agent.heard)
    assert found["results"][0]["run"].endswith(entry.id)


def _waited(agent: Agent, name: str) -> list[Any]:
    """The runs of a hypothesis once the server does something else."""
    agent.call("ask", prompts=[PROMPT], model="./gemma")
    return [entry for entry in find_runs(agent.home / "reports") if entry.hypothesis == name]


def test_mistakes_are_sentences(agent: Agent):
    assert agent.refusal("ask", modl=1, top=99) == (
        "ask: top: Input should be less than or equal to 10; found 99.\n"
        "ask: no argument 'modl'. Did you mean 'model'? Known: 'prompts', 'hypothesis', "
        "'template', 'table', 'model', 'top'."
    )
    assert agent.refusal("run") == "run: the argument 'file' is missing."
    assert agent.refusal("rum").startswith("no tool 'rum'. Did you mean 'run'?")
    assert "found none" in agent.refusal("ask")
    assert agent.refusal("show", run="nobody").startswith("no run 'nobody'.")
    (agent.home / "bad.yaml").write_text("hypothesis: bad\nclaim: c\nprompts: {}\n")
    [result] = agent.data("validate", file="bad.yaml")["results"]
    assert result["exit_code"] == 4
    assert {"line", "column", "where", "message"} == set(result["mistakes"][0])
    assert agent.refusal("run", file="bad.yaml") == result["error"]
    with pytest.raises(MCPError, match="there is no such run or graph here"):
        agent.text("tracer://runs/tiny/../../../etc/passwd")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("run", {"file": "../outside.yaml"}),
        ("run", {"file": "link.yaml"}),
        ("validate", {"file": "/etc/passwd"}),
        ("plan", {"file": "tiny.yaml", "model": "/etc"}),
        ("run", {"file": "tiny.yaml", "set": ["features=/etc"]}),
        ("ask", {"prompts": ["x"], "model": "~"}),
        ("ask", {"template": "{a}", "table": "../t.csv"}),
        ("ask", {"hypothesis": "../outside.yaml"}),
        ("features", {"ids": ["1_7"], "model": "./gemma", "text": "/etc/passwd"}),
        ("graph", {"prompt": "../outside.yaml"}),
        ("graph", {"prompt": "/etc/x.json"}),
        ("show", {"run": "/etc"}),
        ("compare", {"a": "../a.json", "b": "latest"}),
        ("show", {"run": "a\0b"}),
    ],
)
def test_nothing_outside_is_reached(agent: Agent, tool: str, arguments: dict[str, Any]):
    said = agent.refusal(tool, **arguments)
    assert "outside of the server's folders" in said or "this is no path" in said


def test_neither_the_hub_nor_code_of_a_file_is_used(agent: Agent):
    said = agent.refusal("ask", prompts=["x"], model="nobody/nothing-here")
    assert said.endswith("HF_HUB_OFFLINE forbids a download.")
    code = "interventions.swap.expect=[{python: os_system}]"
    assert "no function 'os_system' is defined" in agent.refusal(
        "run", file="tiny.yaml", set=[code]
    )


def test_a_link_in_a_run_is_not_followed(agent: Agent):
    agent.data("run", file="tiny.yaml")
    folder = agent.home / agent.data("show", run="tiny")["files"][0]
    page = folder.parent / "report.html"
    page.rename(page.with_suffix(".kept"))
    page.symlink_to("/etc/passwd")
    uri = f"tracer://runs/tiny/{folder.parent.name}/report.html"
    try:
        with pytest.raises(MCPError, match="outside of the server's folders"):
            agent.text(uri)
        assert "outside of the server's folders" in agent.refusal("show", run="tiny")
    finally:
        page.unlink()
        page.with_suffix(".kept").rename(page)


def test_a_missing_folder_is_told():
    command = [sys.executable, "-m", "tracer", "mcp", "--root", "nowhere"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "--root nowhere: there is no such folder.\n"
