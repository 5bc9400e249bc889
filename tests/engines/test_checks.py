"""What every engine refuses alike."""

from __future__ import annotations

import pytest

from glassbox.engines.catalogue import ENGINES, engine
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
