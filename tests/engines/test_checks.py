"""What every engine refuses alike."""

from __future__ import annotations

import numpy as np
import pytest

from glassbox.engines.catalogue import ENGINES, as_array, engine
from glassbox.engines.checks import check_names, check_weights
from glassbox.engines.initialization import initial_weights
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, weight_shapes

SPEC = ModelSpec(vocabulary_size=7, context=4, width=8, layers=1, heads=2)


def test_the_specs_own_names_and_shapes_pass() -> None:
    check_names(weight_shapes(SPEC), SPEC)
    check_weights(weight_shapes(SPEC), SPEC)


@pytest.mark.parametrize("name", ENGINES)
def test_weights_of_another_model_are_refused_in_the_same_words_by_every_engine(name: str) -> None:
    weights = initial_weights(SPEC, 0)
    missing = {key: weight for key, weight in weights.items() if key != "final_norm.gain"}
    with pytest.raises(BadInput, match=r"The weights lack final_norm.gain, of shape \(8,\)"):
        engine(name).transformer(SPEC, weights=missing)
    with pytest.raises(BadInput, match=r"The weights hold a.stranger, which this model doesn't have"):
        engine(name).transformer(SPEC, weights=weights | {"a.stranger": weights["final_norm.gain"]})
    with pytest.raises(BadInput, match=r"The weight output.weight has shape \(7, 4\), and this model's has \(7, 8\)"):
        engine(name).transformer(SPEC, weights=weights | {"output.weight": weights["output.weight"][:, :4]})


BOTH = ModelSpec.checked({**SPEC.model_dump(exclude_unset=True), "kind": "encoder-decoder", "encoder_layers": 1})


@pytest.mark.parametrize("name", ENGINES)
def test_a_source_belongs_to_encoder_decoders_and_to_each_row_one(name: str) -> None:
    decoder, both = engine(name).transformer(SPEC), engine(name).transformer(BOTH)
    tokens, source = both.batch([[1, 2], [3, 4]]), both.batch([[5], [6]])
    for model, given, said in (
        (decoder, {"source": source}, "to a model of kind decoder, which reads none"),
        (both, {}, "none was given"),
        (both, {"source": both.batch([[5]])}, "2 rows of tokens and 1 of the source"),
        (both, {"source": both.batch([[1] * 5] * 2)}, "5 tokens were given at once, and there is room for 4"),
        (both, {"source": source, "source_present": both.batch([[1], [0]])}, "Row 2 of the source has no token"),
    ):
        with pytest.raises(BadInput, match=said):
            model.forward(tokens, **given)
    with pytest.raises(BadInput, match="none was given"):
        both.generate([1], 2)


ENCODER = ModelSpec.checked({**SPEC.model_dump(exclude_unset=True), "kind": "encoder", "token_types": 2})


@pytest.mark.parametrize("name", ENGINES)
def test_types_of_tokens_belong_to_models_that_know_them(name: str) -> None:
    decoder, encoder = engine(name).transformer(SPEC), engine(name).transformer(ENCODER)
    tokens = encoder.batch([[1, 2], [3, 4]])
    with pytest.raises(BadInput, match="this model knows none"):
        decoder.forward(tokens, types=tokens)
    first, second = (as_array(encoder.forward(tokens, types=types)[0]) for types in (None, encoder.batch([[0, 0]] * 2)))
    np.testing.assert_array_equal(first, second)
    if name != "tensors":  # which leaves it to PyTorch, as every range of ids
        with pytest.raises(BadInput, match="type 2 is outside of 0 to 1"):
            encoder.forward(tokens, types=encoder.batch([[0, 1], [0, 2]]))
        with pytest.raises(BadInput, match="There are"):
            encoder.forward(tokens, types=encoder.batch([[0], [1]]))


@pytest.mark.parametrize("name", ENGINES)
def test_a_model_of_vectors_gives_those_of_its_last_norm_and_predicts_nothing(name: str) -> None:
    spec = ENCODER.replace(head="vectors")
    weights = initial_weights(spec, 1)
    model, tensors = (engine(one).transformer(spec, weights=weights) for one in (name, "tensors"))
    vectors, details = model.forward(model.batch([[1, 2, 3]]), keep=["final_norm.output", "logits"])
    expected, _ = tensors.forward(tensors.batch([[1, 2, 3]]))
    np.testing.assert_allclose(as_array(vectors), as_array(expected), atol=1e-6)
    for value in details.values.values():
        np.testing.assert_array_equal(as_array(value), as_array(vectors))
    with pytest.raises(BadInput, match="targets belong to predictions"):
        model.forward(model.batch([[1, 2]]), model.batch([[1, 2]]))
    with pytest.raises(BadInput, match="gives vectors and writes no tokens"):
        model.generate([1], 1)


@pytest.mark.parametrize("name", ENGINES)
def test_nothing_is_written_after_an_empty_prompt_nor_by_a_classifier(name: str) -> None:
    with pytest.raises(BadInput, match="prompt is empty"):
        engine(name).transformer(SPEC).generate([], 1)
    with pytest.raises(BadInput, match="A classifier writes no tokens"):
        engine(name).transformer(ENCODER.replace(head="classes", classes=3)).generate([1], 1)
