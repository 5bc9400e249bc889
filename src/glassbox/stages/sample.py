"""Let a model write: continue prompts, or begin new documents.

Temperature 0 takes the most likely token always. The same seed gives the same texts.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from glassbox.errors import BadInput
from glassbox.stages.interface import Context, Slot, Stage, StageSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from glassbox.generation import Completion, Decoder, Decoding
    from glassbox.tokenizers import Tokenizer


AT_ONCE = 64  # answers worked on together: more would gain little and need more memory


class Settings(StageSettings):
    prompt: tuple[str, ...] = Field(
        default=("",), min_length=1, max_length=1000, description="Text to continue; empty: begin a new document."
    )
    samples: int = Field(default=1, ge=1, le=1000, description="Answers to each prompt.")
    max_tokens: int = Field(default=256, ge=1, le=1_000_000, description="Most tokens of an answer.")
    temperature: float = Field(default=0.8, ge=0, le=100, description="Above 1 bolder, below 1 safer, 0 the likeliest.")
    top_k: int = Field(default=0, ge=0, le=1_000_000, description="Draw from the k likeliest tokens only; 0: all.")
    top_p: float = Field(default=1.0, gt=0, le=1, description="Draw from the likeliest that add up to p; 1: all.")
    min_p: float = Field(default=0.0, ge=0, le=1, description="Leave out tokens below p times the likeliest; 0: none.")
    repetition_penalty: float = Field(
        default=1.0, ge=0.001, le=1000, description="Above 1: against tokens of prompt and answer."
    )
    presence_penalty: float = Field(
        default=0.0, ge=-1000, le=1000, description="Above 0: against tokens that the answer holds."
    )
    frequency_penalty: float = Field(
        default=0.0, ge=-1000, le=1000, description="Above 0: the same, for each time it holds them."
    )
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="Another seed, other texts.")
    stop: tuple[str, ...] = Field(default=(), max_length=100, description="Texts that end an answer.")
    at_limit: Literal["stop", "slide"] = Field(
        default="stop", description="With a full context: stop, or slide: go on with the newer half of it."
    )
    beams: int = Field(
        default=1, ge=1, le=1000, description="Above 1: beam search for the likeliest answer as a whole, nothing drawn."
    )
    length_penalty: float = Field(
        default=1.0, ge=-100, le=100, description="Of beam search: above 0 favours long answers."
    )
    alternatives: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Tell each token's log-probability and this many of the likeliest; with beams, the tree.",
    )


def run(settings: Settings, context: Context) -> dict[str, object]:
    from glassbox.engines.tensors import load_model
    from glassbox.generation import Decoder
    from glassbox.tokenizers import load

    folder = context.input("model").folder
    model, tokenizer = load_model(folder), load(_tokenizer_folder(folder))
    if tokenizer.vocabulary_size > model.spec.vocabulary_size:
        raise BadInput(
            f"The model knows {model.spec.vocabulary_size:,} ids, and the tokenizer in its folder makes "
            f"{tokenizer.vocabulary_size:,}.",
            "Choose a model whose folder is as it was published.",
        )
    decoder = Decoder(model, tokenizer)
    prompts = [prompt for prompt in settings.prompt for _ in range(settings.samples)]
    if settings.beams > 1:
        return {"samples": _search(settings, context, decoder, tokenizer)}
    return {"samples": [_told(each, tokenizer) for each in _write(settings, context, decoder, tokenizer, prompts)]}


def _write(
    settings: Settings, context: Context, decoder: Decoder, tokenizer: Tokenizer, prompts: list[str]
) -> list[Completion]:
    """The answer to each prompt, told as soon as it and those before it are whole; fewer when asked to stop."""
    decoding = _decoding(settings, tokenizer)
    answers: list[Completion] = []
    for start in range(0, len(prompts), AT_ONCE):
        for answer in _write_at_once(context, decoder, decoding, prompts, start):
            answers.append(answer)
            context.text(f"sample {len(answers)}", answer.prompt + answer.text)
        if context.stop_requested:
            break
    return answers


def _write_at_once(
    context: Context, decoder: Decoder, decoding: Decoding, prompts: list[str], start: int
) -> Iterator[Completion]:
    """The answers to the prompts from `start` on that are worked on together, in their order."""
    from glassbox.generation import Piece, completion

    batch = prompts[start : start + AT_ONCE]
    pieces: list[list[Piece]] = [[] for _ in batch]
    told = 0
    for piece in decoder.stream(batch, decoding, first_row=start):
        pieces[piece.row].append(piece)
        while told < len(batch) and pieces[told] and pieces[told][-1].finish:
            yield completion(batch[told], pieces[told])
            told += 1
        if piece.row == len(batch) - 1 or piece.finish:
            longest = max(map(len, pieces))
            context.progress(
                start * decoding.max_tokens + longest * len(batch),
                len(prompts) * decoding.max_tokens,
                unit="tokens",
                note="writing",
            )
        if context.stop_requested:
            return


def _search(settings: Settings, context: Context, decoder: Decoder, tokenizer: Tokenizer) -> list[dict[str, object]]:
    """The best answers to each prompt by beam search; the first holds the tree of all hypotheses on request."""
    from glassbox.generation import beam_search

    decoding = _decoding(settings, tokenizer)
    if settings.samples > settings.beams:
        raise BadInput(
            f"{settings.samples} samples were asked of {settings.beams} beams, which find one each.",
            "Raise beams or lower samples.",
        )
    found: list[dict[str, object]] = []
    for number, prompt in enumerate(settings.prompt):
        search = beam_search(
            decoder.model,
            decoder.encode(prompt, decoding),
            beams=settings.beams,
            max_tokens=settings.max_tokens,
            length_penalty=settings.length_penalty,
            end_tokens=decoding.end_tokens,
        )
        for place, hypothesis in enumerate(search.hypotheses[: settings.samples]):
            text = tokenizer.decode(token for token in hypothesis.ids if token not in decoding.end_tokens)
            context.text(f"sample {len(found) + 1}", prompt + text)
            answer: dict[str, object] = {"prompt": prompt, "text": text, "score": hypothesis.score}
            if place == 0 and settings.alternatives is not None:
                answer["tree"] = [asdict(node) for node in search.nodes]
            found.append(answer)
        context.progress(number + 1, len(settings.prompt), unit="prompts", note="searching")
        if context.stop_requested:
            break
    return found


def _decoding(settings: Settings, tokenizer: Tokenizer) -> Decoding:
    from glassbox.generation import Decoding

    return Decoding(
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        min_p=settings.min_p,
        repetition_penalty=settings.repetition_penalty,
        presence_penalty=settings.presence_penalty,
        frequency_penalty=settings.frequency_penalty,
        seed=settings.seed,
        stop=settings.stop,
        end_tokens=() if tokenizer.end_of_text is None else (tokenizer.end_of_text,),
        alternatives=settings.alternatives,
        at_limit=settings.at_limit,
    )


def _told(answer: Completion, tokenizer: Tokenizer) -> dict[str, object]:
    """A completion as JSON; a token's text may be part of a character."""
    told: dict[str, object] = {"prompt": answer.prompt, "text": answer.text, "finish": answer.finish}
    if answer.likelihoods is not None:
        told["tokens"] = [
            {
                "id": token,
                "text": tokenizer.decode([token]),
                "log_probability": likelihood.log_probability,
                "alternatives": [
                    {"id": other, "text": tokenizer.decode([other]), "log_probability": log_probability}
                    for other, log_probability in likelihood.alternatives
                ],
            }
            for token, likelihood in zip(answer.ids, answer.likelihoods, strict=True)
        ]
    return told


def _tokenizer_folder(folder: Path) -> Path:
    tokenizer = folder / "tokenizer"
    if not tokenizer.is_dir():
        raise BadInput(f"The model in {folder} has no tokenizer beside it.", "Choose a model that training published.")
    return tokenizer


STAGE = Stage(settings=Settings, run=run, takes={"model": Slot("model", "the model that writes")})
