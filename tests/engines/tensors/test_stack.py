from __future__ import annotations

import torch
from drawn_specs import assert_near, model_of, specs, tokens_of
from hypothesis import given, settings

from glassbox.spec import ModelSpec


@given(spec=specs())
@settings(max_examples=40, deadline=None)
def test_the_last_token_alone_is_what_it_is_among_all(spec: ModelSpec):
    model, tokens = model_of(spec), tokens_of(spec, 2, 6)
    with torch.no_grad():
        x, around = model.enter(tokens)
        for layer in range(spec.layers - 1):
            x = model.through(layer, x, around)
        last = model.through(spec.layers - 1, x, around.of_last_token())  # (2, 1, width)
        assert_near(model.final_norm(last), model.read(tokens)[:, -1:])
