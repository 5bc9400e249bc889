"""What stands in for the program `vllm`: it takes the same words, and answers as its server does where that differs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # whoever starts it lets nothing be imported from here by itself

from stand_in_child import Handler, Server


class VllmHandler(Handler):
    """Health is a status without a body, and the model's card tells where its folder is."""

    key_variable = "VLLM_API_KEY"
    folder = ""

    def do_GET(self) -> None:  # noqa: N802  (http.server calls it so)
        if self.path == "/health":
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()
        elif self.path == "/v1/models":
            card = {"id": self.model, "object": "model", "root": self.folder, "max_model_len": 512}
            self._whole(200, {"object": "list", "data": [card]})
        else:
            super().do_GET()


def main(words: list[str]) -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("command", choices=["serve"])
    asked.add_argument("folder")
    asked.add_argument("--served-model-name", required=True)
    asked.add_argument("--max-num-seqs", type=int, required=True)
    asked.add_argument("--host", required=True)
    asked.add_argument("--port", type=int, required=True)
    asked.add_argument("--disable-uvicorn-access-log", action="store_true")
    chosen = asked.parse_args(words)
    config = json.loads((Path(chosen.folder) / "config.json").read_text())
    assert config["vocab_size"] > 0
    assert os.environ["VLLM_API_KEY"] not in " ".join(words)
    VllmHandler.model, VllmHandler.folder = chosen.served_model_name, chosen.folder
    Server((chosen.host, chosen.port), VllmHandler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
