from __future__ import annotations

import pytest

from glassbox.errors import BadInput
from glassbox.spec import count_flops, count_memory, count_parameters, preset, presets
from glassbox.spec.comparison import compare, differences

NAMES = ("gpt2-small", "llama3-70b", "mixtral-8x7b")


def test_each_description_is_counted_as_if_it_were_alone():
    specs = {name: preset(name) for name in NAMES}
    found = compare(specs, batch=2, context=512, optimizer="adam", weights_in="bfloat16", activations_in="bfloat16")
    assert list(found) == list(NAMES)
    for name, spec in specs.items():
        assert found[name].parameters == count_parameters(spec)
        assert found[name].flops == count_flops(spec, 512)
        assert found[name].memory == count_memory(
            spec, batch=2, context=512, optimizer="adam", weights_in="bfloat16", activations_in="bfloat16"
        )


def test_a_training_is_by_default_twenty_tokens_for_each_parameter_that_a_token_meets():
    found = compare({"mixtral": preset("mixtral-8x7b")})["mixtral"]
    assert found.training_tokens == 20 * found.parameters.active
    assert found.training_flops == found.training_tokens * found.flops.training
    assert compare({"mixtral": preset("mixtral-8x7b")}, training_tokens=1e9)["mixtral"].training_tokens == 1e9


def test_only_fields_that_differ_are_told():
    small = preset("gpt2-small")
    assert differences({"a": small, "b": small}) == {}
    assert differences({"a": small, "b": small.replace(layers=3)}) == {"layers": {"a": 12, "b": 3}}


def test_every_preset_can_be_compared_without_building_it():
    decoders = {name: preset(name) for name in presets()}
    assert len(compare(decoders)) == len(decoders)


def test_a_context_that_one_of_them_hasnt_is_refused():
    with pytest.raises(BadInput, match="2000"):
        compare({name: preset(name) for name in NAMES}, context=2000)
