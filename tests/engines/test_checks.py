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


@pytest.mark.parametrize("name", ENGINES)
def test_what_no_engine_builds_is_refused_by_all(name: str) -> None:
    spec = ModelSpec.checked({**SPEC.model_dump(exclude_unset=True), "kind": "encoder-decoder", "encoder_layers": 1})
    with pytest.raises(BadInput, match="encoder-decoder"):
        engine(name).transformer(spec)
