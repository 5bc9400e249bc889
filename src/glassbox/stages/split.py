"""Split a corpus into train, validation and test.

Documents are shared out by a hash of their words and the seed, so that a growing corpus never moves one; duplicates,
exact and near, always go to the same split. A corpus of few documents is cut by position instead, the first part train.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from glassbox.errors import BadInput
from glassbox.stages.interface import Context, Slot, Stage, StageSettings, Stopped

FEW_DOCUMENTS = 100
"""With fewer documents than this, chance leaves a small share empty too often."""


class Settings(StageSettings):
    validation_share: float = Field(default=0.05, ge=0, lt=1, description="Part of the corpus kept for validation.")
    test_share: float = Field(default=0.05, ge=0, lt=1, description="Part of the corpus kept for the final test.")
    by: Literal["auto", "documents", "position"] = Field(
        default="auto",
        description="Share out whole documents, or cut one long text; auto cuts a corpus of under 100 documents.",
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="By documents: another seed is another split.")
    similarity: float = Field(
        default=0.8,
        ge=0.7,
        le=1,
        description="Share of common five-word runs that makes two documents near-duplicates; 1 leaves exact ones.",
    )
    boundary: Literal["line", "character"] = Field(
        default="line", description="By position: cut behind a line, or exactly at the character."
    )


def run(settings: Settings, context: Context) -> dict[str, object]:
    from glassbox.data.corpus import split_names, split_size
    from glassbox.data.split import Shares, split_by_documents, split_by_position

    corpus = context.input("corpus")
    shares = Shares(settings.validation_share, settings.test_share)
    shares.check()
    if "documents" not in split_names(corpus.folder):
        raise BadInput(f"The corpus {corpus.reference} is split already.", "Split the corpus that it was made from.")
    size = split_size(corpus.folder)
    by = settings.by
    if by == "auto":
        by = "position" if size.documents < FEW_DOCUMENTS else "documents"
        context.log(f"Splitting by {by}; documents in the corpus: {size.documents:,}.")

    def progress(done: int, total: int) -> None:
        if done % 64 == 0 or done == total:
            context.progress(done / 2, total / 2, unit="documents", note="looking for duplicates, then writing")
        if context.stop_requested:
            raise Stopped

    try:
        with context.output("corpus") as draft:
            if by == "documents":
                report = split_by_documents(
                    corpus.folder,
                    draft.folder,
                    shares,
                    seed=settings.seed,
                    similarity=settings.similarity,
                    progress=progress,
                )
            else:
                report = split_by_position(
                    corpus.folder,
                    draft.folder,
                    shares,
                    boundary=settings.boundary,
                    similarity=settings.similarity,
                    progress=progress,
                )
            splits: dict[str, JsonValue] = {
                name: {"documents": size.documents, "bytes": size.text_bytes} for name, size in report.sizes.items()
            }
            draft.describe(by=by, splits=splits)
    except Stopped:
        return {}
    duplicates = report.exact_duplicates + report.near_duplicates
    if duplicates and by == "position":
        context.log(
            f"{duplicates:,} documents repeat earlier ones and may stand in two splits; splitting by documents keeps "
            "them together."
        )
    return {
        "by": by,
        "splits": splits,
        "exact_duplicates": report.exact_duplicates,
        "near_duplicates": report.near_duplicates,
    }


STAGE = Stage(
    settings=Settings,
    takes={"corpus": Slot("corpus", "the documents to share out")},
    makes={"corpus": Slot("corpus", "the same documents as train, validation and test")},
    run=run,
)
