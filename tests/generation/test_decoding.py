"""Decoding: the plain loop of the engine, and `transformers`' idea of greedy, are what the fast path must equal."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from glassbox.engines.tensors import Transformer
from glassbox.errors import BadInput
from glassbox.generation import Decoder, Decoding
from glassbox.spec import ModelSpec
from glassbox.tokenizers.characters import CharacterTokenizer

SPEC = ModelSpec(vocabulary_size=17, context=16, width=16, layers=2, heads=4, initial_std=0.5)
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9]]


def decoder_of(spec: ModelSpec = SPEC) -> Decoder:
    return Decoder(Transformer(spec, 3).double())


def ids_of(decoder: Decoder, prompts: list[list[int]], **settings: Any) -> list[list[int]]:
    steps = [step.ids for step in decoder.tokens(prompts, Decoding(**settings))]
    return [list(row) for row in zip(*steps, strict=True)]


def test_greedy_decoding_of_a_batch_equals_the_plain_loop_row_by_row() -> None:
    decoder = decoder_of()
    expected = [decoder.model.generate(prompt, 10)[len(prompt) :] for prompt in PROMPTS]
    assert ids_of(decoder, PROMPTS, max_tokens=10, temperature=0) == expected


def test_an_encoder_decoder_writes_about_its_source_whatever_the_other_rows_read() -> None:
    decoder = decoder_of(SPEC.replace(kind="encoder-decoder", encoder_layers=2))
    sources, prompts = [[1, 2, 3, 4], [5], [6, 7]], [[1], [1, 2], [1]]
    for count in (10, 20):  # within the context of 16, and beyond it
        settings = Decoding(max_tokens=count, temperature=0)
        steps = [step.ids for step in decoder.tokens(prompts, settings, sources=sources)]
        for row, (prompt, source) in enumerate(zip(prompts, sources, strict=True)):
            alone = [step.ids[0] for step in decoder.tokens([prompt], settings, sources=[source])]
            assert [ids[row] for ids in steps] == alone
            if count == 10:
                assert alone == decoder.model.generate(prompt, 10, source=source)[len(prompt) :]


def test_an_encoder_decoder_wants_a_source_for_each_prompt() -> None:
    decoder = decoder_of(SPEC.replace(kind="encoder-decoder", encoder_layers=2))
    for sources, said in (
        (None, "none was given"),
        ([[1]], "2 rows of tokens and 1 of the source"),
        ([[1], [99]], "holds the id 99"),
        ([[1], []], "has no tokens"),
        ([[1], [1] * 17], "A source has 17 tokens, and the model reads at most 16"),
    ):
        with pytest.raises(BadInput, match=said):
            decoder.tokens([[1], [2]], Decoding(), sources=sources)
    with pytest.raises(BadInput, match="which reads none"):
        decoder_of().tokens([[1]], Decoding(), sources=[[1]])


def test_a_sampled_row_does_not_depend_on_the_other_rows() -> None:
    decoder = decoder_of()
    together = ids_of(decoder, PROMPTS, max_tokens=9, seed=5)
    assert together[:1] == ids_of(decoder, PROMPTS[:1], max_tokens=9, seed=5)
    last = [step.ids[0] for step in decoder.tokens(PROMPTS[2:], Decoding(max_tokens=9, seed=5), first_row=2)]
    assert together[2] == last
    assert together != ids_of(decoder, PROMPTS, max_tokens=9, seed=6)


def test_equal_prompts_in_one_batch_get_different_samples() -> None:
    rows = ids_of(decoder_of(), [[1, 2]] * 4, max_tokens=12)
    assert len({tuple(row) for row in rows}) == 4


def test_going_on_from_an_answer_gives_what_would_have_come() -> None:
    decoder = decoder_of()
    whole = ids_of(decoder, [[1, 2]], max_tokens=10, seed=9)[0]
    assert ids_of(decoder, [[1, 2, *whole[:4]]], max_tokens=6, seed=9)[0] == whole[4:]


def test_penalties_keep_tokens_from_coming_again() -> None:
    row = ids_of(decoder_of(), [[1, 2]], max_tokens=12, temperature=0, presence_penalty=1000)[0]
    assert len(set(row)) == 12
    row = ids_of(decoder_of(), [[1, 2]], max_tokens=12, temperature=0, frequency_penalty=1000)[0]
    assert len(set(row)) == 12


def test_a_full_context_slides_on_from_its_newer_half() -> None:
    decoder = decoder_of()
    row = ids_of(decoder, [[1, 2, 3]], max_tokens=40, temperature=0)[0]
    text = [1, 2, 3, *row]
    # The first token that a full context cannot take: the newer 8 of 17 tokens are read anew.
    after = decoder.model.generate(text[9:17], 8)[8:]
    assert text[17:25] == after
    assert len(text) == 43


def test_changed_weights_are_noticed() -> None:
    decoder = decoder_of()
    before = ids_of(decoder, [[1]], max_tokens=12, temperature=0)
    decoder.model.load_weights(Transformer(SPEC, 4).weights())
    assert ids_of(decoder, [[1]], max_tokens=12, temperature=0) != before
    assert ids_of(decoder, [[1]], max_tokens=12, temperature=0)[0] == decoder.model.generate([1], 12)[1:]


def test_likelihoods_are_the_models_own_whatever_the_settings() -> None:
    decoder = decoder_of()
    decoding = Decoding(max_tokens=6, temperature=0.5, top_k=2, alternatives=3)
    tokens = [1, 2]
    for step in decoder.tokens([tokens], decoding):
        expected = decoder.model(torch.tensor([tokens]))[0][0, -1].log_softmax(-1)
        assert step.likelihoods is not None
        likelihood = step.likelihoods[0]
        assert likelihood.log_probability == pytest.approx(float(expected[step.ids[0]]), abs=1e-5)
        assert [token for token, _ in likelihood.alternatives] == expected.topk(3).indices.tolist()
        assert [value for _, value in likelihood.alternatives] == pytest.approx(expected.topk(3).values.tolist(), 1e-5)
        tokens = [*tokens, *step.ids]


def test_decoding_drops_nothing_and_leaves_the_model_in_training() -> None:
    model = Transformer(SPEC, 3, dropout=0.9).double().train()
    assert ids_of(Decoder(model), [[1, 2]], max_tokens=5, temperature=0) == ids_of(
        decoder_of(), [[1, 2]], max_tokens=5, temperature=0
    )
    assert model.training


@pytest.mark.parametrize("prompts", [[], [[]], [[1], []], [[17]], [[-1]]])
def test_prompts_that_cannot_be_read_are_bad_input(prompts: list[list[int]]) -> None:
    with pytest.raises(BadInput):
        next(decoder_of().tokens(prompts, Decoding()))


def test_an_encoder_does_not_write() -> None:
    with pytest.raises(BadInput, match="an encoder, which reads and writes nothing"):
        Decoder(Transformer(SPEC.replace(kind="encoder")))


CHARACTERS = CharacterTokenizer("abcdefghijklmnop")


def text_decoder() -> Decoder:
    return Decoder(Transformer(SPEC, 3).double(), CHARACTERS)


def test_streamed_pieces_make_up_the_completions() -> None:
    decoder, decoding = text_decoder(), Decoding(max_tokens=8, seed=2)
    texts = {0: "", 1: ""}
    for piece in decoder.stream(["ab", "c"], decoding):
        texts[piece.row] += piece.text
    answers = decoder.complete(["ab", "c"], decoding)
    assert [answer.text for answer in answers] == list(texts.values())
    assert [answer.finish for answer in answers] == ["length", "length"]
    assert [len(answer.ids) for answer in answers] == [8, 8]


def test_an_answer_ends_at_an_end_token_a_stop_text_or_a_full_context() -> None:
    decoder = text_decoder()
    free = decoder.complete(["ab"], Decoding(max_tokens=8, temperature=0))[0]
    ended = decoder.complete(["ab"], Decoding(max_tokens=8, temperature=0, end_tokens=(free.ids[3],)))[0]
    first = free.ids.index(free.ids[3])
    assert (ended.finish, ended.ids, ended.text) == ("end", free.ids[: first + 1], free.text[:first])
    stop = free.text[2:4]
    stopped = decoder.complete(["ab"], Decoding(max_tokens=8, temperature=0, stop=(stop,)))[0]
    assert (stopped.finish, stopped.text) == ("stop", free.text[: free.text.index(stop)])
    full = decoder.complete(["ab", "abcdefgh"], Decoding(max_tokens=100, temperature=0))
    assert [(answer.finish, len(answer.ids)) for answer in full] == [("context", 14), ("context", 8)]
    sliding = decoder.complete(["ab" * 20], Decoding(max_tokens=30, temperature=0, at_limit="slide"))[0]
    assert (sliding.finish, len(sliding.ids)) == ("length", 30)


def test_an_empty_prompt_begins_after_the_end_of_a_document() -> None:
    decoder = text_decoder()
    assert decoder.encode("", Decoding()) == [CHARACTERS.end_of_text]
    assert decoder.complete([""], Decoding(max_tokens=3))[0].prompt == ""


def test_a_prompt_that_leaves_no_room_is_bad_input() -> None:
    with pytest.raises(BadInput, match="16 tokens, and the model's context of 16 leaves no room"):
        text_decoder().complete(["ab" * 8], Decoding())
