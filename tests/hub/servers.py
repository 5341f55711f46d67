"""Servers of this machine that play a web server of files and the model hub."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "c" * 40


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free port; give the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Web:
    """Files of a web server, and how it behaves.

    Attributes:
        files: Content by path.
        break_after: Bytes after which each of the next connections ends, one after the other.
        versioned: Whether it tells a version of its files, without which none is continued.
        ranges: What was asked for, by request: the value of `Range`, or None.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)
    versioned: bool = True
    ranges: list[str | None] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """What answers requests."""
        web = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                web.ranges.append(self.headers.get("Range"))
                content = web.files.get(unquote(urlsplit(self.path).path))
                if content is None:
                    self.send_error(404)
                    return
                version = f'"{hashlib.md5(content).hexdigest()}"'
                begin, status = 0, 200
                asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                if asked and self.headers.get("If-Range") == version:
                    begin, status = int(asked[1]), 206
                if status == 206 and begin >= len(content):
                    self.send_error(416)
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(content) - begin))
                if web.versioned:
                    self.send_header("ETag", version)
                self.end_headers()
                end = begin + web.break_after.pop(0) if web.break_after else len(content)
                self.wfile.write(content[begin:end])

        return Handler


@dataclass
class Hub:
    """A model hub as far as it is used here.

    Attributes:
        files: Content by repository, such as `models/me/it`, and path.
        tokens: Those that may write.
        broken_uploads: How many of the next uploads of large files fail.
        uploaded: Digests of large files, in the order in which they were received.
        damage: Paths whose content is sent with another byte in it.
    """

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=lambda: {"may-write"})
    broken_uploads: int = 0
    uploaded: list[str] = field(default_factory=list)
    damage: set[str] = field(default_factory=set)
    large: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """What answers requests."""
        hub = self

        class Handler(_HubHandler):
            state = hub

        return Handler


class _HubHandler(BaseHTTPRequestHandler):
    state: Hub

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def answer(self, content: Any, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def missing(self, code: str) -> None:
        self.answer({"error": "not found"}, 404, X_Error_Code=code)

    def may_write(self) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token in self.state.tokens:
            return True
        self.answer({"error": "this token may not write"}, 403)
        return False

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/api/(\w+/[^/]+/[^/]+)(?:/tree/main|/revision/main)?", path):
            files = self.state.files.get(found[1])
            if files is None:
                self.missing("RepoNotFound")
            elif "/tree/" in path:
                self.answer([entry(name, content) for name, content in sorted(files.items())])
            else:
                name = found[1].partition("/")[2]
                self.answer({"id": name, "sha": COMMIT, "private": False, "tags": []})
        elif found := re.fullmatch(r"/(\w+/[^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            content = self.state.files.get(found[1], {}).get(found[2])
            if content is None:
                self.missing("EntryNotFound")
                return
            etag = hashlib.sha256(content).hexdigest()
            if found[2] in self.state.damage:
                content = content[:-1] + b"?"
            if self.command == "GET":
                self.state.downloads.append(found[2])
            self.answer(content, ETag=f'"{etag}"', X_Repo_Commit=COMMIT, Accept_Ranges="bytes")
        else:
            self.missing("EntryNotFound")

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.body()
        if path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/(\w+/[^/]+/[^/]+)/paths-info/main", path):
            asked = parse_qs(body.decode())["paths"]
            files = self.state.files.get(found[1], {})
            self.answer([entry(name, files[name]) for name in asked if name in files])
        elif not self.may_write():
            return
        elif path == "/api/repos/create":
            asked_for = json.loads(body)
            name = f"{asked_for['organization']}/{asked_for['name']}"
            address = f"http://{self.headers['Host']}/{name}"
            taken = f"models/{name}" in self.state.files
            self.state.files.setdefault(f"models/{name}", {".gitattributes": b""})
            self.answer({"url": address, "name": name}, 409 if taken else 200)
        elif re.fullmatch(r"/api/\w+/[^/]+/[^/]+/preupload/main", path):
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self.answer({"files": modes})
        elif path.endswith(".git/info/lfs/objects/batch"):
            host = f"http://{self.headers['Host']}"
            objects = [
                thing
                if thing["oid"] in self.state.large
                else thing | {"actions": {"upload": {"href": f"{host}/upload/{thing['oid']}"}}}
                for thing in json.loads(body)["objects"]
            ]
            self.answer({"transfer": "basic", "objects": objects})
        elif found := re.fullmatch(r"/api/(\w+/[^/]+/[^/]+)/commit/main", path):
            self.commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self.missing("EntryNotFound")

    def do_PUT(self) -> None:
        content = self.body()
        if self.state.broken_uploads:
            self.state.broken_uploads -= 1
            self.answer({"error": "out of order"}, 400)
            return
        digest = self.path.rpartition("/")[2]
        assert hashlib.sha256(content).hexdigest() == digest
        self.state.large[digest] = content
        self.state.uploaded.append(digest)
        self.answer({})

    def commit(self, repository: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.state.messages.append(value["summary"])
            elif line["key"] == "file":
                content = base64.b64decode(value["content"])
                self.state.files[repository][value["path"]] = content
            elif line["key"] == "lfsFile":
                self.state.files[repository][value["path"]] = self.state.large[value["oid"]]
        address = f"http://{self.headers['Host']}/{repository}/commit/{COMMIT}"
        self.answer({"success": True, "commitUrl": address, "commitOid": COMMIT})


def entry(name: str, content: bytes) -> dict[str, Any]:
    """What the hub tells about a file."""
    digest = hashlib.sha256(content).hexdigest()
    return {
        "type": "file",
        "path": name,
        "size": len(content),
        "oid": digest[:40],
        "lfs": {"oid": digest, "size": len(content), "pointerSize": 100},
    }
