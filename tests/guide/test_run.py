"""A run of the guide: what it refuses, going back in time, looking inside, and sampling."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

Engine = Callable[..., Any]
SMALL = {"steps": 120, "width": 8, "heads": 2, "context": 8}


@pytest.fixture(scope="module")
def trained(engine: Engine) -> Engine:
    """The engine, with a run of 120 steps kept as `kept.run`."""
    names = ["emma", "olivia", "ava", "isabella", "sophia", "mia", "charlotte", "amelia", "harper", "evelyn"]
    engine("kept.run = new Run(input); while (kept.run.losses.length < 120) kept.run.step();", names=names, **SMALL)
    return engine


# ---- What it refuses ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"names": [chr(0x4E00 + character) for character in range(5000)]}, "MB to remember"),
    ],
)
def test_a_run_that_cannot_be_is_refused_with_what_to_do(
    engine: Engine, names: list[str], refusal: type[Exception], wrong: dict[str, Any], says: str
):
    with pytest.raises(refusal, match=says) as refused:
        engine("new Run(input)", **{"names": names, **wrong})
    assert refused.value.remedy.endswith(".")


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("kept.run.step()", "All 120 steps"),
        ("kept.run.moment(121)", "Step 121 has not been trained"),
        ("kept.run.moment(-1)", "Step -1"),
        ("kept.run.moment('1')", "Step 1 has not"),
        ("kept.run.weightHistory(99999)", "no weight 99999"),
        ("kept.run.trace('émile')", "no character “é”"),
        ("kept.run.nudge(-1, 1e-3, 'ava')", "no weight -1"),
        ("kept.run.sample({ beginning: 'avaavaava' })", "beginning has 9 letters"),
        ("kept.run.gradientPath('wte[0]', 'ava')", "no weight wte"),
    ],
)
def test_what_a_run_does_not_have_is_refused(trained: Engine, refusal: type[Exception], program: str, says: str):
    with pytest.raises(refusal, match=says):
        trained(program)


# ---- Time travel ----------------------------------------------------------------------------------------------------
def test_any_step_gone_back_to_is_the_run_stopped_there_to_the_last_bit(trained: Engine):
    program = """
    const { names, steps, width, heads, context, seed } = kept.run;
    const again = new Run({ names: input.names, steps, width, heads, context, seed });
    const differences = [];
    const compare = (step, what, a, b) => {
      if (!(a === b || a.every((number, i) => Object.is(number, b[i])))) differences.push([step, what]);
    };
    for (let step = 0; step <= steps; step++) {
      const moment = kept.run.moment(step);
      compare(step, "weights", moment.weights, again.weights.map((weight) => weight.data));
      compare(step, "m", moment.m, again.adam.m);
      compare(step, "v", moment.v, again.adam.v);
      compare(step, "gradients", moment.gradients, step === 0 ? null : again.weights.map((weight) => weight.grad));
      compare(step, "loss", [moment.loss], [again.losses[step - 1] ?? null]);
      if (step < steps) again.step();
    }
    return differences;
    """
    names = ["emma", "olivia", "ava", "isabella", "sophia", "mia", "charlotte", "amelia", "harper", "evelyn"]
    assert trained(program, names=names) == []


def test_one_weight_s_history_agrees_with_every_moment_and_its_updates_add_up(trained: Engine):
    history = trained("return kept.run.weightHistory(100)")
    moments = trained(
        "return Array.from({ length: 121 }, (_, s) => { const m = kept.run.moment(s);"
        " return [m.weights[100], m.gradients?.[100] ?? null, m.m[100], m.v[100]]; })"
    )
    assert [history["first"], *history["values"]] == [moment[0] for moment in moments]
    assert history["gradients"] == [moment[1] for moment in moments[1:]]
    assert history["m"] == [moment[2] for moment in moments[1:]]
    assert history["v"] == [moment[3] for moment in moments[1:]]
    before = history["first"]
    for step in range(120):
        assert history["values"][step] == before - history["updates"][step]
        assert history["mHat"][step] == pytest.approx(history["m"][step] / (1 - 0.85 ** (step + 1)), rel=1e-15)
        assert history["vHat"][step] == pytest.approx(history["v"][step] / (1 - 0.99 ** (step + 1)), rel=1e-15)
        before = history["values"][step]


def test_looking_does_not_disturb_the_training(engine: Engine, names: list[str]):
    program = """
    const train = (look) => {
      const run = new Run({ names: input.names, steps: 8, width: 4, heads: 2 });
      while (run.losses.length < 8) {
        run.step();
        if (look) {
          run.trace("ava", { ablate: [[0, 1]] }); run.nudge(3, 1e-3, "mia"); run.sample({ count: 2 }); run.moment(1);
          run.gradientPath("wte[0][0]", "ava"); run.weightHistory(0);
        }
      }
      return [run.losses, run.sample({ count: 5 }).samples.map((sample) => sample.text)];
    };
    return [train(false), train(true)];
    """
    undisturbed, disturbed = engine(program, names=names)
    assert disturbed == undisturbed


# ---- Looking inside -------------------------------------------------------------------------------------------------
def test_backward_pressed_five_times_gives_the_same_gradients(engine: Engine):
    program = """
    const [a, b] = [new Value(2), new Value(-3)];
    const loss = a.mul(b).add(a.pow(3)).add(a.exp().log()).sub(b.relu()).div(a);
    return Array.from({ length: 5 }, () => { loss.backward(); return [a.grad, b.grad]; });
    """
    presses = engine(program)
    assert presses == [presses[0]] * 5
    assert presses[0] == pytest.approx([2 * 2.0, 1.0])  # (ab + a^3 + a - relu b) / a = b + a^2 + 1 - relu(b) / a


def test_gradients_are_what_nudging_a_weight_does_to_the_loss(trained: Engine):
    generator = random.Random(1)
    for index in (generator.randrange(1000) for _ in range(25)):
        nudge = trained("return kept.run.nudge(input.index, 1e-5, 'sophia')", index=index)
        assert nudge["slope"] == pytest.approx(nudge["gradient"], abs=1e-9, rel=1e-6)
        traced = trained("return kept.run.trace('sophia').gradients[input.index]", index=index)
        assert traced == nudge["gradient"]


def test_every_traced_array_has_its_shape_and_follows_from_the_ones_before(trained: Engine):
    trace = trained("return kept.run.trace('ava', { step: 60 })")
    values = trace["values"]
    positions, heads, width = 4, 2, 8
    assert trace["targets"] == trace["tokens"][1:]
    assert values["layer0.attention.weights"]["shape"] == [positions, heads, positions]
    assert values["layer0.mlp.hidden"]["shape"] == [positions, 4 * width]
    for name, array in values.items():
        assert len(array["data"]) == len(array["gradient"]) == math.prod(array["shape"]), name
    embedding = [a + b for a, b in zip(values["token"]["data"], values["position"]["data"], strict=True)]
    assert values["embedding"]["data"] == embedding
    weights = values["layer0.attention.weights"]["data"]
    scores = values["layer0.attention.scores"]["data"]
    for position in range(positions):
        for head in range(heads):
            start = (position * heads + head) * positions
            row, past = weights[start : start + positions], position + 1
            total = sum(math.exp(score) for score in scores[start : start + past])
            assert row[:past] == pytest.approx([math.exp(score) / total for score in scores[start : start + past]])
            assert row[past:] == [0] * (positions - past)
    size = values["probabilities"]["shape"][1]
    expected = [-math.log(values["probabilities"]["data"][i * size + t]) for i, t in enumerate(trace["targets"])]
    assert trace["losses"] == pytest.approx(expected)
    assert trace["loss"] == pytest.approx(sum(expected) / len(expected))
    assert values["loss"]["gradient"] == [1]
    assert values["losses"]["gradient"] == pytest.approx([1 / positions] * positions)


def test_a_row_s_gradient_is_the_sum_over_the_positions_where_it_stood(trained: Engine):
    trace = trained("const t = kept.run.trace('ava'); return { ...t, bos: kept.run.bos }")
    rows: dict[int, list[float]] = {}
    for position, token in enumerate(trace["tokens"][:-1]):
        here = trace["values"]["token"]["gradient"][position * 8 : position * 8 + 8]
        rows[token] = [a + b for a, b in zip(rows.get(token, [0.0] * 8), here, strict=True)]
    for token, gradient in rows.items():
        assert trace["gradients"][token * 8 : token * 8 + 8] == pytest.approx(gradient)


def test_a_silenced_head_hands_over_nothing_and_changes_the_loss(trained: Engine):
    trace = trained("return kept.run.trace('olivia', { ablate: [[0, 1]] })")
    mixed = trace["values"]["layer0.attention.mixed"]["data"]
    assert all(mixed[i] == 0 for i in range(len(mixed)) if i % 8 >= 4)
    assert any(mixed[i] != 0 for i in range(len(mixed)) if i % 8 < 4)
    assert trace["loss"] != trained("return kept.run.trace('olivia').loss")


def test_names_beyond_the_context_are_cut_as_in_training(trained: Engine):
    trace = trained("return kept.run.trace('charlottecharlotte')")
    assert trace["values"]["logits"]["shape"][0] == SMALL["context"]


def test_the_operations_are_those_that_a_trace_has_in_their_order(engine: Engine, names: list[str]):
    program = """
    const run = new Run({ names: input.names, layers: 2, width: 4, heads: 2 });
    const traced = Object.keys(run.trace("ava").values);
    return { operations: run.operations(), traced, matrices: [...run.parameters.keys()] };
    """
    found = engine(program, names=names)
    ids = [operation["id"] for operation in found["operations"]]
    assert ids == found["traced"]
    for i, operation in enumerate(found["operations"]):
        assert set(operation["inputs"]) <= set(ids[:i])
    used = [operation["matrix"] for operation in found["operations"] if operation["matrix"]]
    assert sorted(used) == sorted(found["matrices"])


# ---- Sampling -------------------------------------------------------------------------------------------------------
def kept_in_python(probabilities: list[float], top_k: int | None, top_p: float | None) -> list[int]:
    order = sorted(range(len(probabilities)), key=lambda token: -probabilities[token])[:top_k]
    if top_p is not None:
        whole, reached, kept = sum(probabilities[token] for token in order), 0.0, []
        for token in order:
            kept.append(token)
            reached += probabilities[token]
            if reached >= top_p * whole:
                break
        order = kept
    return sorted(order)


@settings(max_examples=60)
@given(
    probabilities=st.lists(st.floats(0.001, 1), min_size=1, max_size=12),
    top_k=st.none() | st.integers(1, 14),
    top_p=st.none() | st.floats(0.01, 1),
)
def test_top_k_and_top_p_keep_what_a_few_lines_of_python_keep(
    engine: Engine, probabilities: list[float], top_k: int | None, top_p: float | None
):
    given_ = {"probabilities": probabilities, "topK": top_k, "topP": top_p}
    found = engine("return keptTokens(input.probabilities, input.topK, input.topP)", **given_)
    assert found == kept_in_python(probabilities, top_k, top_p)


def test_sampling_more_names_begins_with_the_same_ones(trained: Engine):
    program = """
    const texts = (count) => kept.run.sample({ count }).samples.map((sample) => sample.text);
    return [texts(6), texts(2)];
    """
    six, two = trained(program)
    assert six[:2] == two
    assert len(set(six)) > 1


def test_every_drawn_token_was_kept_and_follows_from_the_number_drawn(trained: Engine):
    samples = trained("return kept.run.sample({ count: 10, topK: 4, topP: 0.8, temperature: 1.3 }).samples")
    for sample in samples:
        for position in sample["positions"]:
            probabilities, kept = position["probabilities"], position["kept"]
            assert kept == kept_in_python(probabilities, 4, 0.8)
            assert sum(probabilities) == pytest.approx(1)
            generator = random.Random()
            generator.random = lambda position=position: position["chosenBy"]
            weights = [probabilities[token] for token in kept]
            assert generator.choices(kept, weights=weights)[0] == position["token"]
        assert sample["tokens"] == [position["token"] for position in sample["positions"]]


def test_a_temperature_of_one_gives_the_model_s_own_probabilities(trained: Engine):
    program = """
    const [sample] = kept.run.sample({ temperature: 1 }).samples;
    const { probabilities } = kept.run.trace("").values;
    return [sample.positions[0].probabilities, [...probabilities.data]];
    """
    sampled, traced = trained(program)
    assert sampled == traced


# ---- What if: changes to the model, to a weight, to the beginning of a name ------------------------------------------
def test_comparing_changes_gives_the_losses_that_traces_with_them_have(trained: Engine):
    changes = [{}, {"ablate": [[0, 0]]}, {"sharpen": [[0, 1, 2.5]]}, {"ablate": [[0, 0], [0, 1]]}]
    program = """
    const traced = (text) => input.changes.map((change) => kept.run.trace(text, { step: 50, ...change }).loss);
    return { compared: kept.run.compare(["ava", "mia"], 50, input.changes), ava: traced("ava"), mia: traced("mia") };
    """
    found = trained(program, changes=changes)
    expected = [(ava + mia) / 2 for ava, mia in zip(found["ava"], found["mia"], strict=True)]
    assert found["compared"] == pytest.approx(expected, rel=1e-14)
    assert len(set(found["compared"])) == 4


def test_sharpening_a_head_multiplies_its_scores_alone(trained: Engine):
    program = """
    const scores = (options) => kept.run.trace("ava", options).values["layer0.attention.scores"].data;
    return [scores({}), scores({ sharpen: [[0, 1, 3]] }), scores({ sharpen: [[0, 0, 1], [0, 1, 1]] })];
    """
    plain, sharpened, unchanged = trained(program)
    assert unchanged == plain
    for place, (before, after) in enumerate(zip(plain, sharpened, strict=True)):
        head = place // 4 % 2  # (positions, heads, positions)
        assert after == (before * 3 if head == 1 else before)


def test_a_nudge_tells_the_losses_on_both_sides_and_leaves_the_run_as_it_was(trained: Engine):
    program = """
    const before = kept.run.trace("mia").loss;
    const [nudge, smaller] = [0.01, 0.005].map((epsilon) => kept.run.nudge(700, epsilon, "mia"));
    return { nudge, smaller, before, after: kept.run.trace("mia").loss };
    """
    found = trained(program)
    assert found["nudge"]["loss"] == found["smaller"]["loss"] == found["before"] == found["after"]
    for nudge, epsilon in ((found["nudge"], 0.01), (found["smaller"], 0.005)):
        assert nudge["slope"] == (nudge["lossPlus"] - nudge["lossMinus"]) / (2 * epsilon)
    assert found["nudge"]["lossPlus"] != found["smaller"]["lossPlus"]


def test_a_given_beginning_begins_every_name_and_draws_nothing(trained: Engine):
    program = """
    const { samples } = kept.run.sample({ count: 8, beginning: "ma" });
    return { samples, ids: kept.run.tokensOf("ma").slice(1, -1) };
    """
    found = trained(program)
    for sample in found["samples"]:
        assert sample["text"].startswith("ma")
        assert [position["token"] for position in sample["positions"][:2]] == found["ids"]
        drawn = [position["chosenBy"] for position in sample["positions"]]
        assert drawn[:2] == [None, None]
        assert all(0 <= number < 1 for number in drawn[2:])


def test_a_moment_s_updates_are_what_the_weights_were_lowered_by(trained: Engine):
    before, moment = trained("return [kept.run.moment(76).weights, kept.run.moment(77)]")
    lowered = [weight - update for weight, update in zip(before, moment["updates"], strict=True)]
    assert lowered == moment["weights"]
