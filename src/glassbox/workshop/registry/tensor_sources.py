"""Files of tensors that somebody may look into: those of artifacts, and those of runs' checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from glassbox.errors import BadInput
from glassbox.hub.tensor_file import TensorFile
from glassbox.workshop.bodies import Body
from glassbox.workshop.problems import NotFound
from glassbox.workshop.visible import Visible
from glassbox.workspace import Artifact
from glassbox.workspace.saved_steps import step_folder

ENDING = ".safetensors"
_USUAL = ("model", "weights")  # what is looked into if nothing is said


class TensorSource(Body):
    """Where tensors lie: a file of an artifact, or of a checkpoint of a run."""

    artifact: str | None = Field(None, max_length=100, description="The artifact's id; or give run and step.")
    run: str | None = Field(None, max_length=100, description="The run's id.", examples=["pretrain-k3fm7q"])
    step: int | None = Field(None, ge=0, lt=10**12, description="Whose checkpoint.", examples=[400])
    file: str | None = Field(
        None, max_length=300, description="Without it model.safetensors, or a checkpoint's weights.safetensors."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.artifact is None) == (self.run is None) or (self.run is None) != (self.step is None):
            raise ValueError("give the id of an artifact, or a run together with a step")
        return self


def tensor_files_of(seen: Visible, source: TensorSource) -> dict[str, Path]:
    """Its files of tensors by name. Raises NotFound for what isn't there, or isn't theirs to see."""
    if source.artifact is not None:
        return _of_artifact(seen.by_id(source.artifact))
    assert source.run is not None and source.step is not None
    return checkpoint_files(seen.run(source.run).checkpoints, source.step)


def open_tensors(seen: Visible, source: TensorSource) -> TensorFile:
    """The file to look into. Raises NotFound, and BadInput where it is damaged or there is none to choose."""
    files = tensor_files_of(seen, source)
    if source.file is not None:
        if source.file not in files:
            raise NotFound("file of tensors", source.file, _there(files))
        return TensorFile(files[source.file])
    usual = [name for name in files if name.removesuffix(ENDING) in _USUAL]
    if len(files) != 1 and len(usual) != 1:
        what = "There is no file of tensors in it." if not files else "It has several files of tensors."
        raise BadInput(what, "Choose a model or a checkpoint." if not files else _there(files))
    return TensorFile(files[usual[0] if usual else next(iter(files))])


def checkpoint_files(checkpoints: Path, step: int) -> dict[str, Path]:
    """The files of tensors of one step. Raises NotFound; a checkpoint goes when newer ones come."""
    folder = step_folder(checkpoints, step)
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ENDING and path.is_file())
    except OSError:
        raise NotFound("checkpoint", f"step {step}", "See the list of those that are kept.") from None
    return {path.name: path for path in found}


def _of_artifact(artifact: Artifact) -> dict[str, Path]:
    names = [name for name in artifact.manifest.files if name.endswith(ENDING)]
    folder = artifact.folder.resolve() if names else artifact.place
    places = {name: (folder / name).resolve() for name in names}
    return {name: place for name, place in places.items() if place.is_relative_to(folder)}


def _there(files: dict[str, Path]) -> str:
    return f"Name one of: {', '.join(files)[:300]}." if files else "It has none."
