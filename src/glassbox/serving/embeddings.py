"""`POST /v1/embeddings`: what a text is to the model, as one vector.

The vector is the mean of what the last layer gives for each token of the text (behind the final norm; the
"last hidden state" of `transformers`), divided by its length. Marks around a text (a beginning, [CLS], [SEP]) are read
and not counted; ids are read as they come, and all are counted.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from starlette.responses import Response

from glassbox.engines.tensors import Transformer
from glassbox.errors import BadInput
from glassbox.insight import Reader
from glassbox.serving.protocol.embeddings import Embedding, EmbeddingList, EmbeddingRequest, EmbeddingUsage
from glassbox.serving.protocol.errors import ApiError
from glassbox.serving.reading import chunk_tokens
from glassbox.serving.replies import json_response
from glassbox.serving.service import Service


class Row(NamedTuple):
    """The ids of an input as the model reads them, and from where to where they are the text's own."""

    ids: list[int]
    first: int
    last: int


async def answer(service: Service, asked: EmbeddingRequest) -> Response:
    """The response with a vector for each input. Raises ApiError."""
    reader = service.model.reader
    width = reader.model.spec.width
    if asked.dimensions not in (None, width):
        raise ApiError(
            400, f"This model's vectors have {width} numbers and aren't shortened. Leave dimensions out.",
            param="dimensions", code="unsupported_parameter",
        )  # fmt: skip
    characters = sum(map(len, asked.inputs))
    rows = await service.encode(lambda: rows_of(reader, asked.inputs), characters, "input")
    vectors = np.empty((len(rows), width), np.float32)
    for places in groups(rows, chunk_tokens(reader.model.spec)):  # one at a time, so that chats go on between them
        vectors[places] = await service.read(vectors_of, reader.model, [rows[place] for place in places])
    tokens = sum(len(row.ids) for row in rows)
    return json_response(
        EmbeddingList(
            data=[
                Embedding(index=index, embedding=_written(vector, asked.encoding_format))
                for index, vector in enumerate(vectors)
            ],
            model=service.model.id,
            usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        )
    )


def groups(rows: Sequence[Row], most: int) -> Iterator[list[int]]:
    """Which rows are read together: those of equal length, so that none needs padding, as many as have `most` ids."""
    by_length: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        by_length.setdefault(len(row.ids), []).append(place)
    for length, places in by_length.items():
        at_once = max(1, most // length)
        for start in range(0, len(places), at_once):
            yield places[start : start + at_once]


@torch.inference_mode()
def vectors_of(model: Transformer, rows: Sequence[Row]) -> NDArray[np.float32]:
    """Means over the texts' own tokens, of length 1: (rows, width)."""
    hidden = model.hidden(model.batch([row.ids for row in rows])).double()  # (rows, length, width)
    means = torch.stack([states[row.first : row.last].mean(0) for row, states in zip(rows, hidden, strict=True)])
    return (means / means.norm(dim=-1, keepdim=True).clamp_min(1e-12)).float().cpu().numpy()


def rows_of(reader: Reader, inputs: Sequence[str | list[int]]) -> list[Row]:
    """Raises BadInput for a text that is empty, too long, or that the tokenizer can't encode, naming which."""
    return [_row(reader, number, given) for number, given in enumerate(inputs)]


def _row(reader: Reader, number: int, given: str | list[int]) -> Row:
    try:
        if isinstance(given, str):
            own = reader.tokenizer.encode(given)
            ids: list[int] = reader.tokens(given)[0].tolist()
            if not own:
                raise BadInput("The text is empty.", "Give some text.")
            first = next(at for at in range(len(ids)) if ids[at : at + len(own)] == own)
            return Row(ids, first, first + len(own))
        _check_ids(reader, given)
        return Row(given, 0, len(given))
    except BadInput as error:
        raise BadInput(f"Input {number}: {error.problem}", error.remedy) from None


def _check_ids(reader: Reader, ids: Sequence[int]) -> None:
    spec = reader.model.spec
    if len(ids) > spec.context:
        raise BadInput(f"{len(ids):,} ids came, and the model reads at most {spec.context:,}.", "Give fewer.")
    wrong = next((id for id in ids if not 0 <= id < spec.vocabulary_size), None)
    if wrong is not None:
        raise BadInput(
            f"The model knows ids from 0 to {spec.vocabulary_size - 1}, and {wrong} came.",
            "Encode the text with the model's own tokenizer.",
        )


def _written(vector: NDArray[np.float32], encoding: str) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return vector.tolist()
