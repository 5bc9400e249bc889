"""Artifacts of people to look at: corpora, tokenizers, models, reports, each made by a run of its owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from people import People
from safetensors.numpy import save_file

from glassbox.data.corpus import CorpusWriter
from glassbox.data.documents import Document
from glassbox.spec import ModelSpec, weight_shapes
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.workshop.database.tables import ShareRow
from glassbox.workshop.visible import Visible
from glassbox.workspace import Artifact, Run

TEXT = "the list of the things that the lists list, and then some more of the same: naïve 🦊 and so on. "
TINY = ModelSpec(vocabulary_size=16, context=8, width=8, layers=2, heads=2)


class Shelf:
    """Publishes into the workspace of a workshop, in somebody's name; `None` is the command line."""

    def __init__(self, people: People) -> None:
        self._people = people
        self.workspace = people.workshop.workspace

    def run(self, owner: str | None = "member", stage: str = "collect", **settings: Any) -> Run:
        """A run that waits."""
        run = self.workspace.runs.create(stage, name="example", settings=settings, inputs={})
        if owner is not None:
            Visible(self.workspace, self._people.workshop.database, self._people.actor(owner)).claim("run", run.id)
        return run

    def publish(
        self,
        kind: Any = "corpus",
        name: str = "tales",
        files: Mapping[str, bytes] | None = None,
        *,
        owner: str | None = "member",
        parents: Iterable[Artifact] = (),
        stage: str = "collect",
        facts: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Some files as an artifact."""
        run = self.run(owner, stage)
        with self.workspace.artifacts.draft(kind, name, parents=parents, run=run.id) as draft:
            for path, content in (files or {"text.txt": b"once upon a time"}).items():
                (draft.folder / path).parent.mkdir(parents=True, exist_ok=True)
                (draft.folder / path).write_bytes(content)
            draft.describe(**(facts or {}))
        return draft.artifact

    def share(self, artifact: Artifact, by: str = "member") -> None:
        """Show it to everyone."""
        with self._people.workshop.database.writing() as session:
            user = self._people.user(by).id
            session.add(ShareRow(kind="artifact", id=artifact.id, created=0.0, by=user))

    def corpus(self, texts: Iterable[tuple[str, str]], owner: str = "member") -> Artifact:
        """Of (text, source)."""
        drafted = self.workspace.artifacts.draft("corpus", "tales", run=self.run(owner).id)
        with drafted as draft, CorpusWriter(draft.folder) as writer:
            for text, source in texts:
                writer.append(Document(text, source))
        return draft.artifact

    def tokenizer(self, owner: str = "member", vocabulary_size: int = 280) -> Artifact:
        """Byte pairs of `TEXT`."""
        run = self.run(owner, "train-tokenizer")
        with self.workspace.artifacts.draft("tokenizer", "tales", run=run.id) as draft:
            train([TEXT * 5], vocabulary_size).save(draft.folder)
            draft.describe(vocabulary_size=vocabulary_size)
        return draft.artifact

    def characters(self, owner: str = "member") -> Artifact:
        """A tokenizer that knows a, b and c alone."""
        with self.workspace.artifacts.draft("tokenizer", "letters", run=self.run(owner).id) as draft:
            CharacterTokenizer.train(["abc"]).save(draft.folder)
        return draft.artifact

    def model(
        self,
        owner: str = "member",
        *,
        name: str = "tales",
        seed: int = 0,
        spec: ModelSpec = TINY,
        parents: Iterable[Artifact] = (),
    ) -> Artifact:
        """With random weights."""
        run = self.run(owner, "pretrain", steps=3)
        with self.workspace.artifacts.draft("model", name, parents=parents, run=run.id) as draft:
            random = np.random.default_rng(seed)
            weights = {key: random.normal(size=shape).astype(np.float32) for key, shape in weight_shapes(spec).items()}
            save_file(weights, draft.folder / "model.safetensors")
            spec.save(draft.folder / "spec.json")
            draft.describe(parameters=sum(weight.size for weight in weights.values()), validation_loss=2.5)
        return draft.artifact
