"""What is wrong with a description, field by field."""

from __future__ import annotations

import math
from typing import Any

import pytest

from glassbox.spec import ModelSpec, preset
from glassbox.spec.faults import Fault

GIVEN = preset("gpt2-small").model_dump(exclude_unset=True)


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"width": 10**30}, "width", "less than or equal"),
        ({"vocabulary_size": 10**5000}, "vocabulary_size", "more than 60 digits"),
        ({"layers": "many"}, "layers", "it is 'many'"),
        ({"rotary_base": math.nan}, "rotary_base", "finite"),
        ({"logit_scale": math.inf}, "logit_scale", "finite"),
        ({"initial_std": "\ud800"}, "initial_std", r"\ud800"),
        ({"experts": {"count": 1, "active": 1, "hidden_width": 8}}, "experts.count", "greater than or equal"),
        ({"colour": "red"}, "colour", "no such field"),
        ({"heads": 7}, "", "width 768 is not divisible by 7 heads: set width to 763 or 770"),
    ],
)
def test_each_fault_names_its_field_and_what_came(change: dict[str, Any], field: str, said: str):
    [fault] = ModelSpec.faults(GIVEN | change)
    assert fault.field == field
    assert said in fault.message


def test_all_faults_are_told_at_once_and_a_good_description_has_none():
    assert [fault.field for fault in ModelSpec.faults(GIVEN | {"width": 0, "layers": -1})] == ["width", "layers"]
    assert ModelSpec.faults(GIVEN) == []
    assert "layers: Field required" in map(str, ModelSpec.faults({}))


def test_a_huge_value_is_cut_and_printable():
    [fault] = ModelSpec.faults(GIVEN | {"heads": "\ud800" * 100_000})
    assert len(str(fault)) < 250
    str(fault).encode()
    assert Fault("", "both").__str__() == "both"
