"""Who is answered: pages of the dashboard itself, under a name of this machine."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboard_server import serving
from tracer.dashboard.guard import HEADERS

STREAM = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "streamlit",
}
PAGES = ("/", "/explore", "/_stcore/health", "/_stcore/host-config")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(tmp_path_factory.mktemp("guarded")) as address:
        yield int(address.rpartition(":")[2])


def asked(port: int, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Host": f"127.0.0.1:{port}"} | headers)
    answer = connection.getresponse()
    connection.close()
    return answer


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST"])
def test_its_own_names_are_answered_and_no_page_may_frame_it(port: int, path: str, host: str):
    answer = asked(port, path, Host=f"{host}:{port}")
    assert answer.status == 200
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[", "a@localhost"])
def test_no_other_name_is_answered(port: int, path: str, host: str):
    answer = asked(port, path, Host=host)
    assert answer.status == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:{port}", 101),
        ("http://127.0.0.1:1", 403),
        ("http://localhost:{port}", 403),
        ("http://localhost:8080", 403),
        ("null", 403),
        ("https://evil.example", 403),
        ("http://[", 403),
    ],
)
def test_the_stream_is_opened_by_its_own_page_only(port: int, origin: str, status: int):
    answer = asked(port, "/_stcore/stream", Origin=origin.format(port=port), **STREAM)
    assert answer.status == status


def test_another_program_of_this_machine_reads_nothing(port: int):
    assert asked(port, "/", Origin="http://localhost:8080").status == 403


def test_the_script_of_the_clone_is_guarded_too():
    folder = Path(__file__).parent.parent
    ours = folder / "tracer" / "dashboard" / "start" / "app.py"
    line = "app = st.App(SCRIPT, middleware=GUARD)"
    assert all(line in path.read_text() for path in (ours, folder / "app.py"))
