"""The nouns that a person keeps: artifacts and runs, in one folder."""

from glassbox.workspace.artifact import Artifact
from glassbox.workspace.draft import Draft
from glassbox.workspace.run import Run
from glassbox.workspace.workspace import Workspace

__all__ = ["Artifact", "Draft", "Run", "Workspace"]
