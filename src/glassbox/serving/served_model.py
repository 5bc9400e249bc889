"""The one model that a process serves: its weights and tokenizer, its name, how it chats and where its answers end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput
from glassbox.hub.folder import CONFIG, GENERATION_CONFIG, TOKENIZER_CONFIG
from glassbox.hub.model_files import SPEC, THEIR_FILES, WEIGHTS
from glassbox.hub.strict_json import read_object
from glassbox.hub.tokenizer_files import kept_chat_template
from glassbox.insight import Reader
from glassbox.insight.reader import TOKENIZER_FOLDER
from glassbox.serving.chat import Chat, special_names
from glassbox.serving.protocol.errors import ApiError
from glassbox.serving.protocol.models import Ability, Model
from glassbox.spec import count_parameters
from glassbox.tokenizers import Tokenizer
from glassbox.workspace import Workspace
from glassbox.workspace.names import shown


@dataclass(frozen=True)
class Found:
    """Where a model lies, and who it is. identity: changes with its content. aliases: what else it may be called."""

    folder: Path
    id: str
    created: int
    identity: str
    aliases: tuple[str, ...] = ()


def find(model: str, workspace: Path | None, name: str | None = None) -> Found:
    """An artifact by its name, or a model's folder, which is told by its slash. name: what requests call it.

    Raises BadInput if there is none.
    """
    if "/" in model or model in (".", ".."):
        folder = Path(model).expanduser().absolute()
        try:
            stats = [(folder / file).stat() for file in (SPEC, WEIGHTS)]
        except OSError as error:
            raise BadInput(
                f"There is no model in {folder}: {error.strerror} ({error.filename}).", "Choose the folder of a model."
            ) from None
        identity = f"{folder} {[(stat.st_size, stat.st_mtime_ns) for stat in stats]}"
        return Found(folder, name or folder.name, int(stats[1].st_mtime), identity)
    artifact = Workspace(workspace).artifacts.get("model", model)
    manifest = artifact.manifest
    return Found(
        artifact.folder,
        name or manifest.name,
        int(manifest.created.timestamp()),
        manifest.hash,
        (manifest.name, artifact.reference),
    )


class ServedModel:
    """A model that was loaded, ready for chats, completions, embeddings and traces.

    Raises BadInput for a damaged folder, one without a tokenizer, and a model that reads one text and writes another.
    """

    def __init__(self, found: Found) -> None:
        self.reader = Reader.load(found.folder)
        self.id = found.id
        self.fingerprint = "fp_" + hashlib.sha256(found.identity.encode()).hexdigest()[:12]
        self._known_as = {found.id, *found.aliases}
        spec = self.reader.model.spec
        if spec.kind == "encoder-decoder":
            raise BadInput(
                "This model is an encoder-decoder, which reads one text and writes another; the API has one prompt.",
                "Choose a decoder, or an encoder for embeddings.",
            )
        self.writes = spec.kind == "decoder" and spec.head == "language"
        settings = _their_settings(found.folder, TOKENIZER_CONFIG)
        names = special_names(settings, self.reader.tokenizer)
        self.chat = Chat(self.reader.tokenizer, kept_chat_template(found.folder / TOKENIZER_FOLDER), names)
        self.end_tokens = tuple(sorted(set(_end_tokens(found.folder, self.reader.tokenizer, names.get("eos_token")))))
        writing: list[Ability] = ["chat", "completions"] if self.writes else []
        self.card = Model(
            id=self.id,
            created=found.created,
            kind="decoder" if spec.kind == "decoder" else "encoder",
            context=spec.context,
            parameters=count_parameters(spec).total,
            vocabulary_size=spec.vocabulary_size,
            chat_template=None if not self.writes else "own" if self.chat.has_template else "plain",
            abilities=[*writing, "embeddings", "trace"],
        )

    @property
    def tokenizer(self) -> Tokenizer:
        return self.reader.tokenizer

    @property
    def context(self) -> int:
        """Most tokens of prompt and answer together."""
        return self.reader.model.spec.context

    def check_name(self, name: str) -> None:
        """Raises ApiError, 404, for another model's name."""
        if name not in self._known_as:
            raise ApiError(
                404, f"There is no model called {shown(name)} here. Ask for {self.id}.", param="model",
                code="model_not_found",
            )  # fmt: skip

    def check_writes(self) -> None:
        """Raises ApiError, 400, for a model that can't continue text."""
        if not self.writes:
            raise ApiError(
                400, f"The model {self.id} reads and doesn't write. Ask it for embeddings.", param="model",
                code="unsupported_model",
            )  # fmt: skip

    def prompt(self, text: str) -> list[int]:
        """The ids that a completion of the text goes on from, begun as texts were in training.

        Raises BadInput for what the tokenizer can't encode.
        """
        tokenizer = self.tokenizer
        ids = [*tokenizer.beginning, *tokenizer.encode(text)]
        return [tokenizer.end_of_text] if not ids and tokenizer.end_of_text is not None else ids


def _their_settings(folder: Path, name: str) -> dict[str, Any]:
    """What an imported model said about itself in Hugging Face's words; nothing of one that was trained here."""
    path = folder / THEIR_FILES / name
    return read_object(path) if path.is_file() else {}


def _end_tokens(folder: Path, tokenizer: Tokenizer, end_of_turn: str | None) -> Iterator[int]:
    """Every id that its makers end an answer at: that which parts documents, and that which ends a turn."""
    if tokenizer.end_of_text is not None:
        yield tokenizer.end_of_text
    if end_of_turn is not None and end_of_turn in tokenizer.special_tokens:
        yield tokenizer.special_tokens[end_of_turn]
    for name in (GENERATION_CONFIG, CONFIG):
        ids = _their_settings(folder, name).get("eos_token_id")
        yield from (id for id in (ids if isinstance(ids, list) else [ids]) if isinstance(id, int))
