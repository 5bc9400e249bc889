"""A model of the workspace in vLLM: written as Hugging Face's folder once, then this process becomes `vllm serve`.

    python -m glassbox.workshop.gateway.vllm_process MODEL --workspace FOLDER --name NAME --rows 16 --port-file FILE

The written folder stays in the workspace, under exports/ and the artifact's id, because large models take minutes to
write; it is written beside and renamed, so it is whole or not there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import NoReturn

from glassbox.errors import BadInput
from glassbox.workspace import Artifact, Workspace, atomic

EXPORTS = "exports"


def main(words: list[str]) -> NoReturn:
    """Ends with 2 if there is something that a person must put right."""
    asked = argparse.ArgumentParser()
    asked.add_argument("model")
    asked.add_argument("--workspace", type=Path, required=True)
    asked.add_argument("--name", required=True)
    asked.add_argument("--rows", type=int, required=True)
    asked.add_argument("--port-file", type=Path, required=True)
    chosen = asked.parse_args(words)
    try:
        folder = exported(Workspace(chosen.workspace), chosen.model)
    except BadInput as error:
        print(f"{error.problem} {error.remedy}", file=sys.stderr)
        sys.exit(2)
    port = _free_port()
    atomic.write_file(chosen.port_file, json.dumps({"port": port, "pid": os.getpid()}).encode())
    command = vllm_command(folder, chosen.name, chosen.rows, port)
    os.execvp(command[0], command)


def vllm_command(folder: Path, name: str, rows: int, port: int) -> list[str]:
    """`vllm serve` on this machine alone. The key stands in $VLLM_API_KEY."""
    return [
        "vllm", "serve", str(folder), "--served-model-name", name, "--max-num-seqs", str(rows),
        "--host", "127.0.0.1", "--port", str(port), "--disable-uvicorn-access-log",
    ]  # fmt: skip


def exported(workspace: Workspace, reference: str) -> Path:
    """The model as Hugging Face's folder, written if it isn't there yet.

    Raises BadInput for a model that isn't there, or that no family of Hugging Face's carries.
    """
    from glassbox.hub import Export, ModelFiles
    from glassbox.hub.new_place import new_folder
    from glassbox.hub.tokenizer_files import kept_chat_template
    from glassbox.tokenizers import load

    artifact = workspace.artifacts.get("model", reference)
    place = export_folder(workspace, artifact)
    if place.is_dir():
        return place
    tokenizer_folder = artifact.folder / "tokenizer"
    if not tokenizer_folder.is_dir():
        raise BadInput(f"The model {artifact.reference} has no tokenizer.", "Choose another model.")
    export = Export(ModelFiles(artifact.folder))
    place.parent.mkdir(exist_ok=True)
    print(f"writing {artifact.reference} for vLLM", flush=True)
    with new_folder(place) as into:
        export.write(into, load(tokenizer_folder), kept_chat_template(tokenizer_folder))
    return place


def export_folder(workspace: Workspace, artifact: Artifact) -> Path:
    """Where a model lies as Hugging Face's folder, if it was written."""
    return workspace.folder / EXPORTS / artifact.id


def forget_export(workspace: Workspace, artifact_id: str) -> None:
    """Delete what was written of a model that is served no longer."""
    shutil.rmtree(workspace.folder / EXPORTS / artifact_id, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main(sys.argv[1:])
