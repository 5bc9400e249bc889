"""A model's folder as Hugging Face lays it out, opened with suspicion: nothing in it may lead, or read, elsewhere."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput
from glassbox.hub.strict_json import read_object
from glassbox.hub.tensor_file import Entry, TensorFile
from glassbox.workspace.names import shown

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
GENERATION_CONFIG = "generation_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


class Folder:
    """config.json and safetensors, in one file or in shards with an index.

    Raises BadInput when one is missing or damaged, when weights come as pickle only, when the index names a file
    outside of the folder or gives a tensor to a file that hasn't it, and for links that leave the folder.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise BadInput(
                f"{path} is no folder.", "Give a folder with config.json and model.safetensors, as Hugging Face has it."
            )
        self.path = path
        config = self.file(CONFIG)
        if config is None:
            raise BadInput(
                f"{path} has no {CONFIG}.", "Give the folder of a model, as `save_pretrained` or the hub makes it."
            )
        self.config = read_object(config)
        self._file_of = self._find_tensors()
        self.tensors: Mapping[str, Entry] = {name: file.entries[name] for name, file in self._file_of.items()}
        """Every tensor by name, in whichever file it lies."""

    def read(self, name: str) -> Any:
        """One tensor; see `TensorFile.read`."""
        return self._file_of[name].read(name)

    def file(self, name: str) -> Path | None:
        """A file of the folder, or None if it isn't there. Raises BadInput unless it is an ordinary file within."""
        path = self.path / name
        try:
            target = path.resolve(strict=True)
            ordinary = stat.S_ISREG(target.stat().st_mode)
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError) as error:
            raise BadInput(
                f"{path} can't be followed: {error}.", "Copy the folder's files instead of linking."
            ) from None
        if not (ordinary and (target.parent == self.path.resolve() or self._is_blob(target))):
            raise BadInput(
                f"{path} leads out of the folder or is no ordinary file.", "Copy the file itself into the folder."
            )
        return path

    def _is_blob(self, target: Path) -> bool:
        """Hugging Face's cache links models--x/snapshots/y/config.json to models--x/blobs/z."""
        snapshots = self.path.resolve().parent
        return snapshots.name == "snapshots" and target.parent == snapshots.parent / "blobs"

    def _find_tensors(self) -> dict[str, TensorFile]:
        if whole := self.file(WEIGHTS):
            file = TensorFile(whole)
            return dict.fromkeys(file.entries, file)
        if index := self.file(INDEX):
            return self._sharded(index)
        pickles = sorted(path.name for path in self.path.iterdir() if path.suffix in PICKLES)
        if pickles:
            raise BadInput(
                f"The weights in {self.path} are pickle ({shown(pickles[0])}), which runs whatever program its author "
                "put in when it is opened.",
                "Choose a version of the model that was saved as safetensors.",
            )
        raise BadInput(f"{self.path} has no {WEIGHTS} and no {INDEX}.", "Copy the folder again, with its weights.")

    def _sharded(self, index: Path) -> dict[str, TensorFile]:
        weight_map = read_object(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise BadInput(f"{index} has no weight_map.", "Copy the folder again.")
        shards: dict[str, TensorFile] = {}
        for name, shard in weight_map.items():
            if not isinstance(shard, str):
                raise BadInput(f"{index} gives {shown(name)} to no file.", "Copy the folder again.")
            if shard not in shards:
                shards[shard] = self._shard(index, shard)
            if name not in shards[shard].entries:
                raise BadInput(
                    f"{index} says that {shown(name)} is in {shown(shard)}, and it isn't.", "Copy the folder again."
                )
        for shard, file in shards.items():
            if strangers := file.entries.keys() - weight_map.keys():
                raise BadInput(f"{shard} holds {shown(min(strangers))}, which {index} doesn't name.", "Copy it again.")
        return {name: shards[shard] for name, shard in weight_map.items()}

    def _shard(self, index: Path, name: str) -> TensorFile:
        if Path(name).name != name or "\\" in name or "\0" in name or not name.endswith(".safetensors"):
            raise BadInput(
                f"{index} names the file {shown(name)}, which is no safetensors file of this folder.",
                "Don't use this folder: an honest one names files such as model-00001-of-00002.safetensors.",
            )
        path = self.file(name)
        if path is None:
            raise BadInput(
                f"{index} names {shown(name)}, which isn't there.", "Copy the folder again, with all shards."
            )
        return TensorFile(path)
