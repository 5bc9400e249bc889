"""The command line of a model's process, by engine. It writes its port into a file, and answers /health when ready."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from glassbox.errors import BadInput
from glassbox.workshop.gateway.target import Engine, Target

KEY_VARIABLES: dict[Engine, str] = {"glassbox": "GLASSBOX_SERVING_KEY", "vllm": "VLLM_API_KEY"}
"""Where each of them finds the key that requests must bear: never on the command line, which everyone can read."""

VLLM_PROCESS = "glassbox.workshop.gateway.vllm_process"


def command(target: Target, workspace: Path, port_file: Path) -> list[str]:
    """What to run. Raises BadInput if vLLM was asked for and isn't installed."""
    if target.engine == "glassbox":
        return [
            sys.executable, "-m", "glassbox", "serve-model", target.model,
            "--workspace", str(workspace), "--name", target.name, "--rows", str(target.rows),
            "--port", "0", "--ready-file", str(port_file), "--end-with-stdin",
        ]  # fmt: skip
    check_engine(target.engine)
    return [
        sys.executable, "-m", VLLM_PROCESS, target.model,
        "--workspace", str(workspace), "--name", target.name, "--rows", str(target.rows),
        "--port-file", str(port_file),
    ]  # fmt: skip


def check_engine(engine: Engine) -> None:
    """Raises BadInput for an engine that isn't installed."""
    if engine == "vllm" and shutil.which("vllm") is None:
        raise BadInput(
            "The engine vllm was asked for, and there is no program called vllm here.",
            "Install it (pip install vllm) in an environment that is on the PATH, or choose the engine glassbox.",
        )
