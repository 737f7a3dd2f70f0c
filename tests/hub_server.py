"""A server on loopback that answers as the Hub does."""

import base64
import hashlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


class Hub:
    """The part of the Hub's protocol that its client speaks for a public model; counts what is asked of it."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.asked: list[tuple[str, str, str | None]] = []  # method, path, Range
        self.stored: dict[str, bytes] = {}  # what came by the Hub's own storage, by its SHA-256
        self.committed: dict[str, bytes] = {}  # the files of the last commit
        self.closed = False  # connections that the client keeps open end as well
        self.cut_after: int | None = None  # bytes of a body after which the connection breaks
        self.dies = False  # and with it the server
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                served.answer(self, body=False)

            def do_GET(self) -> None:
                served.answer(self, body=True)

            def do_POST(self) -> None:
                served.told(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def do_PUT(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                served.stored[self.path.rpartition("/")[2]] = content
                served.send(self, 200, b"", {})

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.closed = True
        self.server.shutdown()
        self.server.server_close()

    def bodies(self, ending: str) -> list[str | None]:
        """The Range headers of the GETs of a file."""
        return [wanted for method, path, wanted in self.asked if method == "GET" and path.endswith(ending)]

    def answer(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        if self.closed:
            request.close_connection = True
            return None
        path = unquote(request.path.partition("?")[0])
        self.asked.append((request.command, path, request.headers.get("Range")))
        if path.startswith("/api/models/"):
            repo, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            if repo not in self.repos:
                return self.send(request, 401 if repo.startswith("gated") else 404, b"{}", {"X-Error-Code": "RepoNotFound"})
            if revision not in ("", "main", "v1", COMMIT):
                return self.send(request, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            files = [{"rfilename": f, "size": len(content)} for f, content in self.repos[repo].items()]
            told = {"id": repo, "modelId": repo, "sha": COMMIT, "private": False, "siblings": files, "tags": [], "downloads": 0}
            return self.send(request, 200, json.dumps(told).encode(), {"Content-Type": "application/json"})
        repo, _, rest = path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        content = self.repos.get(repo, {}).get(file)
        if content is None:
            return self.send(request, 404, b"", {"X-Error-Code": "EntryNotFound"})
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        status, asked = 200, request.headers.get("Range")
        if asked:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            status, content = 206, content[start:]
        return self.send(request, status, content, headers, body)

    def told(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """An upload: a repository is made, its files announced, the binary ones stored, and all of them committed."""
        path = unquote(request.path.partition("?")[0])
        self.asked.append(("POST", path, None))
        if path == "/api/repos/create":
            wanted = json.loads(body)
            if wanted.get("organization") == "others":
                refused = {"X-Error-Message": "You don't have the rights to create a space under the namespace others"}
                return self.send(request, 403, b"{}", refused)
            answer: dict = {"url": f"{self.url}/spaces/{wanted.get('organization', 'me')}/{wanted['name']}"}
        elif path == "/api/validate-yaml":  # the front matter of the README
            answer = {"errors": [], "warnings": []}
        elif "/preupload/" in path:
            files = [(one["path"], base64.b64decode(one["sample"])) for one in json.loads(body)["files"]]
            kinds = [(name, "lfs" if b"\0" in sample else "regular") for name, sample in files]
            answer = {"files": [{"path": name, "uploadMode": kind, "shouldIgnore": False} for name, kind in kinds]}
        elif path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            for one in objects:
                one["actions"] = {"upload": {"href": f"{self.url}/store/{one['oid']}"}}
            answer = {"transfer": "basic", "objects": objects}
        else:
            lines = [json.loads(line) for line in body.splitlines()]
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    self.committed[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    self.committed[value["path"]] = self.stored[value["oid"]]
            answer = {"commitUrl": f"{self.url}/spaces/me/redgui/commit/{COMMIT}", "commitOid": COMMIT}
        return self.send(request, 200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def send(self, request: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict, body: bool = True) -> None:
        request.send_response(status)
        for key, value in headers.items():
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if not body:
            return
        if self.cut_after is not None and len(content) > self.cut_after:
            request.wfile.write(content[: self.cut_after])
            request.wfile.flush()
            request.connection.shutdown(socket.SHUT_RDWR)
            self.closed = self.dies
            request.close_connection = True
            return
        request.wfile.write(content)
