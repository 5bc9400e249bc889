"""The bars that show where parameters are."""

from __future__ import annotations

from glassbox.pictures.parameters import parameters_by_part
from glassbox.spec import count_parameters, preset
from glassbox.spec.weights import PARTS


def test_each_model_has_a_bar_with_all_its_parts():
    models = {name: count_parameters(preset(name)) for name in ("gpt2-small", "bert-base")}
    figure = parameters_by_part("parameters", models)
    columns, rows = figure.table()
    assert list(columns) == ["", *PARTS]
    assert [row[0] for row in rows] == list(models)
    for place, counted in enumerate(models.values()):
        assert sum(values[place] for values in figure.parts.values()) == counted.total
