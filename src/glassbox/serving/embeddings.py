"""`POST /v1/embeddings`: what a text is to the model, as one vector.

The vector is the mean of what the last layer gives for each token of the text (behind the final norm; the
"last hidden state" of `transformers`), divided by its length. Marks around a text (a beginning, [CLS], [SEP]) are read
and not counted; ids are read as they come, and all are counted.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from starlette.responses import Response

from glassbox.errors import BadInput
from glassbox.insight import Reader
from glassbox.serving.protocol.embeddings import Embedding, EmbeddingList, EmbeddingRequest, EmbeddingUsage
from glassbox.serving.protocol.errors import ApiError
from glassbox.serving.replies import json_response
from glassbox.serving.service import Service

MOST_TOKENS_AT_ONCE = 16_384  # read together: more would need much memory and gain nothing


async def answer(service: Service, asked: EmbeddingRequest) -> Response:
    """The response with a vector for each input. Raises ApiError."""
    reader = service.model.reader
    width = reader.model.spec.width
    if asked.dimensions not in (None, width):
        raise ApiError(
            400, f"This model's vectors have {width} numbers and aren't shortened. Leave dimensions out.",
            param="dimensions", code="unsupported_parameter",
        )  # fmt: skip
    vectors, tokens = await service.read(embed, reader, asked.inputs)
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


@torch.inference_mode()
def embed(reader: Reader, inputs: Sequence[str | list[int]]) -> tuple[NDArray[np.float32], int]:
    """Vectors of length 1, (inputs, width), and how many tokens were read.

    Texts of equal length are read together, so that none needs padding.
    Raises BadInput for a text that is empty, too long, or that the tokenizer can't encode, naming which.
    """
    rows = [_row(reader, number, given) for number, given in enumerate(inputs)]
    vectors = np.empty((len(rows), reader.model.spec.width), np.float32)
    by_length: dict[int, list[int]] = {}
    for place, (ids, _, _) in enumerate(rows):
        by_length.setdefault(len(ids), []).append(place)
    for length, places in by_length.items():
        at_once = max(1, MOST_TOKENS_AT_ONCE // length)
        for start in range(0, len(places), at_once):
            some = places[start : start + at_once]
            hidden = reader.model.hidden(reader.model.batch([rows[place][0] for place in some]))
            for place, states in zip(some, hidden.double(), strict=True):  # (length, width)
                _, first, last = rows[place]
                mean = states[first:last].mean(0)
                vectors[place] = (mean / mean.norm().clamp_min(1e-12)).cpu().numpy()
    return vectors, sum(len(ids) for ids, _, _ in rows)


def _row(reader: Reader, number: int, given: str | list[int]) -> tuple[list[int], int, int]:
    """The ids that are read, and from where to where they are the text's own."""
    try:
        if isinstance(given, str):
            own = reader.tokenizer.encode(given)
            ids: list[int] = reader.tokens(given)[0].tolist()
            if not own:
                raise BadInput("The text is empty.", "Give some text.")
            first = next(at for at in range(len(ids)) if ids[at : at + len(own)] == own)
            return ids, first, first + len(own)
        _check_ids(reader, given)
        return given, 0, len(given)
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
