"""A process that stands in for a model's, and behaves as the name of its model says. Standard library alone.

    python stand_in_child.py MODEL PORT_FILE

good: answers.               refuses: ends as for something that a person must put right.
dies: is killed at once.     faulty: ends with a fault.     never: takes connections, and is never ready.
flaky: ends with a fault the first two times (it counts in a file beside the port file's folder).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

PARTS = ("She", " sells", " sea", " shells")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = ""
    key_variable = "GLASSBOX_SERVING_KEY"
    given_up: ClassVar[list[str]] = []

    def log_message(self, format: str, *args: Any) -> None:
        print(self.requestline, flush=True)

    def do_GET(self) -> None:
        if self.path == "/health":
            if self.model == "never":
                self._whole(503, {"status": "failing"})
            else:
                self._whole(
                    200,
                    {"status": "ready", "model": self.model, "pid": os.getpid(), "rows": 4, "busy": 1, "waiting": 2},
                )
        elif self.path == "/v1/models":
            card = {
                "id": self.model, "object": "model", "created": 1, "owned_by": "glassbox", "kind": "decoder",
                "context": 64, "parameters": 1000, "vocabulary_size": 300, "chat_template": "plain",
                "abilities": ["chat", "completions", "embeddings", "trace"],
            }  # fmt: skip
            self._whole(200, {"object": "list", "data": [card]})
        elif self.path == "/given-up":
            self._whole(200, self.given_up)
        else:
            self._whole(404, {"error": {"message": "unknown", "type": "invalid_request_error"}})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        told = json.dumps(asked.get("messages", asked.get("prompt", "")))
        if self.headers["authorization"] != f"Bearer {os.environ[self.key_variable]}":
            self._whole(401, {"error": {"message": "wrong key", "type": "invalid_request_error"}})
        elif "die at once" in told:
            os.kill(os.getpid(), signal.SIGKILL)
        elif "refuse" in told:
            self._whole(400, {"error": {"message": "refused", "type": "invalid_request_error", "param": "messages"}})
        elif "stand still" in told:
            os.kill(os.getpid(), signal.SIGSTOP)
        elif asked.get("stream"):
            self._stream(asked, told)
        else:
            usage = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
            choice = {"index": 0, "message": {"role": "assistant", "content": "".join(PARTS)}, "logprobs": None}
            self._whole(200, self._body("chat.completion", [choice | {"finish_reason": "stop"}]) | {"usage": usage})

    def _stream(self, asked: dict[str, Any], told: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        count = 10_000 if "without end" in told else len(PARTS)
        try:
            for number in range(count):
                if "die in between" in told and number == 2:
                    self._chunk(b'data: {"id":"half an ev')
                    os.kill(os.getpid(), signal.SIGKILL)
                choice = {"index": 0, "delta": {"content": PARTS[number % len(PARTS)]}, "finish_reason": None}
                self._part(asked, [choice], number + 1)
                if "without end" in told:
                    time.sleep(0.01)
            if asked.get("stream_options", {}).get("include_usage"):
                self._part(asked, [], count)
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")
        except OSError:
            self.given_up.append("a stream")
            self.close_connection = True

    def _part(self, asked: dict[str, Any], choices: list[Any], written: int) -> None:
        part = self._body("chat.completion.chunk", choices)
        if asked.get("stream_options", {}).get("continuous_usage_stats"):
            part["usage"] = {"prompt_tokens": 5, "completion_tokens": written, "total_tokens": 5 + written}
        self._chunk(b"data: " + json.dumps(part, separators=(",", ":")).encode() + b"\n\n")

    def _body(self, kind: str, choices: list[Any]) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": self.model, "choices": choices}

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def _whole(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    daemon_threads = True


def main(model: str, port_file: Path) -> int:
    print(f"loading {model}", flush=True)
    if model == "refuses":
        print("There is no model called refuses. See what there is.", file=sys.stderr)
        return 2
    if model == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if model == "faulty":
        print("RuntimeError: no luck", file=sys.stderr)
        return 1
    if model == "flaky":
        with (port_file.parents[1] / "starts-flaky").open("a+") as starts:
            starts.write(".")
            if starts.tell() < 3:
                return 1
    Handler.model = model
    server = Server(("127.0.0.1", 0), Handler)
    port_file.write_text(json.dumps({"port": server.server_port, "pid": os.getpid()}))
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
