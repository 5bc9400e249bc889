"""The nouns that a person keeps: artifacts and runs, in one folder."""

from glassbox.workspace.artifacts import Artifact, Draft
from glassbox.workspace.workspace import Workspace

__all__ = ["Artifact", "Draft", "Workspace"]
