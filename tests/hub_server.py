"""A model hub on 127.0.0.1 that speaks what `huggingface_hub` asks, and fails as it is told to.

It answers the questions of a download: what a revision is, which files a commit has, a file's
metadata (HEAD: size, ETag, commit) and its bytes, whole or from an offset (`Range`). Repositories
are dictionaries in memory. Every request is kept, so that a test can say what was asked and how
often.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"
_LFS = (".safetensors", ".npz", ".bin", ".gz")
_INFO = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/revision/(?P<revision>.+))?")
_TREE = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)")
_FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


class Asked(NamedTuple):
    """One request, as it came in."""

    method: str
    path: str
    offset: int
    """First byte of a file that was asked for."""


@dataclass
class Fault:
    """What the hub does instead of answering, to the next requests that match."""

    path: str
    """A regular expression, found in the request's method and path."""
    status: int = 0
    """0: the connection is cut, after `sent` bytes of the body where there is one."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    sent: int = 0
    waits: float = 0.0
    """Seconds before the answer, which then is the usual one where nothing else is said."""
    times: int = 1


@dataclass
class Repository:
    """Commits, oldest first, each with all its files; `main` is the last one."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    is_gated: bool = False

    def push(self, files: Mapping[str, bytes]) -> str:
        """A further commit; gives its hash."""
        digest = hashlib.sha1(str(len(self.commits)).encode())
        for name, content in sorted(files.items()):
            digest.update(name.encode() + content)
        self.commits[digest.hexdigest()] = dict(files)
        return digest.hexdigest()

    def commit(self, revision: str) -> str | None:
        """The commit of a branch or hash."""
        if revision == "main":
            return list(self.commits)[-1]
        return revision if revision in self.commits else None


class Hub:
    """The repositories, what was asked of them, and what goes wrong."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.address = ""
        self._lock = threading.Lock()

    def push(self, repo: str, files: Mapping[str, bytes] | Path, under: str = "") -> str:
        """A further commit of a repository, from contents or a folder; gives its hash."""
        if isinstance(files, Path):
            found = [path for path in files.rglob("*") if path.is_file()]
            files = {path.relative_to(files).as_posix(): path.read_bytes() for path in found}
        named = {f"{under}{name}": content for name, content in files.items()}
        return self.repositories.setdefault(repo, Repository()).push(named)

    def fail(self, path: str, **how: object) -> None:
        """Let the next requests that match fail; see `Fault`."""
        self.faults.append(Fault(path, **how))  # type: ignore[arg-type]

    def fetched(self) -> list[str]:
        """Names of the files whose bytes were asked for, sorted; one that came in parts twice."""
        found = [_FILE.fullmatch(each.path) for each in self.asked if each.method == "GET"]
        return sorted(match["path"] for match in found if match)

    def fault(self, asked: Asked) -> Fault | None:
        """Note a request; what goes wrong with it, once less for the next."""
        with self._lock:
            self.asked.append(asked)
            for each in self.faults:
                if each.times > 0 and re.search(each.path, f"{asked.method} {asked.path}"):
                    each.times -= 1
                    return each
        return None


@contextmanager
def serving() -> Generator[Hub]:
    """A hub that runs while the block does; `address` is for `HF_ENDPOINT`."""
    hub = Hub()

    class Handler(_Handler):
        of = hub

    server = _Server(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that breaks off is none of a test's business."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    of: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        offset = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        fault = self.of.fault(Asked(self.command, path, offset))
        if fault is not None:
            threading.Event().wait(fault.waits)
            if fault.status:
                return self._send(fault.status, fault.body, fault.headers)
            if not fault.waits:
                return self._cut(path, offset, fault.sent)
        if match := _TREE.fullmatch(path):
            self._tree(match["repo"], match["revision"])
        elif match := _INFO.fullmatch(path):
            self._info(match["repo"], match["revision"] or "main")
        elif match := _FILE.fullmatch(path):
            self._file(match["repo"], match["revision"], match["path"], offset)
        else:
            self._send(404, b"", {})
        return None

    def _found(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """A commit and its files; None where the refusal was sent."""
        known = self.of.repositories.get(repo)
        if known is None:
            self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
            return None
        commit = known.commit(revision)
        if commit is None:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return None
        return commit, known.commits[commit]

    def _info(self, repo: str, revision: str) -> None:
        if found := self._found(repo, revision):
            siblings = [{"rfilename": name} for name in found[1]]
            self._json({"id": repo, "sha": found[0], "siblings": siblings, "tags": []})

    def _tree(self, repo: str, revision: str) -> None:
        if found := self._found(repo, revision):
            self._json([_entry(name, content) for name, content in sorted(found[1].items())])

    def _file(self, repo: str, revision: str, path: str, offset: int) -> None:
        found = self._found(repo, revision)
        if found is None:
            return
        commit, files = found
        if self.of.repositories[repo].is_gated and self._token() != TOKEN:
            status = 403 if self._token() else 401
            self._send(status, b"", {"X-Error-Code": "GatedRepo"})
        elif path not in files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        else:
            whole = files[path]
            headers = {"ETag": f'"{_sha256(whole)}"', "X-Repo-Commit": commit}
            headers["Accept-Ranges"] = "bytes"
            if offset:
                headers["Content-Range"] = f"bytes {offset}-{len(whole) - 1}/{len(whole)}"
            self._send(206 if offset else 200, whole[offset:], headers)

    def _token(self) -> str | None:
        given = self.headers.get("Authorization")
        return None if given is None else given.removeprefix("Bearer ")

    def _cut(self, path: str, offset: int, n_sent: int) -> None:
        """Promise the whole and break off."""
        self.close_connection = True
        if match := _FILE.fullmatch(path):
            repository = self.of.repositories[match["repo"]]
            content = repository.commits[match["revision"]][match["path"]]
            self.send_response(206 if offset else 200)
            self.send_header("Content-Length", str(len(content) - offset))
            self.end_headers()
            self.wfile.write(content[offset : offset + n_sent])

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(name: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(content)}
    entry["oid"] = hashlib.sha1(content).hexdigest()
    if name.endswith(_LFS):
        entry["lfs"] = {"oid": _sha256(content), "size": len(content), "pointerSize": 130}
    return entry


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
