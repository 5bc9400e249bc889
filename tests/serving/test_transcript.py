"""Who reads along now and again gets the text that who hears every token gets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from listening import ids_of, text_of

from glassbox.generation import Answer, Decoding, Ending, Likelihood
from glassbox.serving.requests import Request
from glassbox.serving.transcript import Part, Transcript
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.splitting import PATTERNS

TEXT = "abba é€aé bab€ "
TOKENIZER = train([TEXT * 20], 256 + 12, pattern=PATTERNS["gpt2"], special_tokens=("<|end|>",))
END = TOKENIZER.special_tokens["<|end|>"]
IDS = [id for id in range(TOKENIZER.vocabulary_size) if TOKENIZER.token_bytes(id) in TEXT.encode()]
CONTEXT = 40


@given(
    st.lists(st.sampled_from([*IDS, *IDS, END, TOKENIZER.vocabulary_size]), min_size=50, max_size=50),
    st.builds(
        Decoding,
        max_tokens=st.integers(1, 50),
        stop=st.lists(st.sampled_from(["ab", "é", "aé", "bab", "\ufffd"]), max_size=2).map(tuple),
        end_tokens=st.sampled_from([(), (END,)]),
        alternatives=st.sampled_from([None, 0]),
    ),
    st.lists(st.sampled_from(["nothing", "nothing", "token", "end"]), min_size=50, max_size=50),
)
def test_parts_make_up_the_answer_whenever_they_are_read(ids: list[int], decoding: Decoding, reads: list[str]) -> None:
    """Read behind a token, or between it and the end that it is, or not."""
    answer = Answer(0, 1, decoding, TOKENIZER, CONTEXT)
    request = Request([0], 1, 0, decoding, Ending(1, decoding, TOKENIZER, CONTEXT))
    transcript, parts, expected, last = Transcript(request, TOKENIZER), list[Part](), "", None

    def read() -> None:
        parts.append(transcript.read())
        assert expected.startswith(text_of(parts))

    for count, (id, behind) in enumerate(zip(ids, reads, strict=True)):
        likelihood = None if decoding.alternatives is None else Likelihood(-float(count), ())
        last = answer.add(id, likelihood)
        expected += last.text
        if likelihood is not None:
            request.likelihoods.append(likelihood)
        finish = request.ending.after(id)
        request.ids.append(id)
        if behind == "token":
            read()
        request.finish = finish
        assert finish == last.finish
        if finish:
            break
        if behind == "end":
            read()
    assert transcript.has_more
    read()
    assert (transcript.whole, transcript.has_more) == (True, False)
    assert ids_of(parts) == tuple(request.ids[1:])
    assert text_of(parts) == expected
    assert [likelihood for part in parts for likelihood in part.likelihoods] == request.likelihoods
    assert last is not None and parts[-1].finish == last.finish
    assert [id for part in parts for id in part.spelled_ids] == request.ids[1 : -1 if last.finish == "end" else None]
