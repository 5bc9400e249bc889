"""The guide's worker: it answers while it trains, and never with anything but a result or two sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Engine = Callable[..., Any]

OPENED = """
const messages = [];
const post = (message, transfer) => messages.push(structuredClone(message, { transfer })); // as postMessage does
const worker = new EngineWorker(post);
const slice = worker.channel.port1.onmessage; // a browser gives every message a turn; Node up to a thousand at once
worker.channel.port1.close();
worker.channel = { port2: { postMessage: () => setImmediate(slice) } };
let id = 0;
const call = (method, ...given) => worker.receive({ id: ++id, method, arguments: given });
const answer = (wanted) => messages.find((message) => message.id === wanted);
await call("open", { names: input.names, steps: 200, width: 4, heads: 2 });
"""


def test_opening_tells_the_page_what_the_run_is(engine: Engine, names: list[str]):
    opened = engine(OPENED + "return answer(1).result;", names=names)
    assert sorted(opened["names"]) == sorted(names)
    assert opened["bos"] == len(opened["characters"])
    last = opened["matrices"][-1]
    assert last["first"] + last["rows"] * last["columns"] == len(opened["weightNames"])
    assert opened["weightNames"][last["first"]] == "layer0.mlp_fc2[0][0]"


def test_it_answers_questions_while_it_trains_and_reports_every_step_once(engine: Engine, names: list[str]):
    program = """
    const done = call("train", { until: 200 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await call("trace", "ava", { step: 0 });
    const answered = worker.run.losses.length;
    await done;
    const steps = messages.flatMap((message) => message.steps ?? []);
    return { answered, loss: answer(3).result.loss, end: answer(2).result, steps };
    """
    found = engine(OPENED + program, names=names)
    assert 0 < found["answered"] < 200
    assert found["loss"] > 0
    assert found["end"] == {"step": 200, "training": False}
    assert [step["step"] for step in found["steps"]] == list(range(1, 201))
    assert set(found["steps"][0]) == {"step", "loss", "name", "tokens", "learningRate", "nodes", "milliseconds"}


def test_training_in_the_worker_is_the_run_itself(engine: Engine, names: list[str]):
    program = """
    await call("train", { until: 30 });
    const run = new Run({ names: input.names, steps: 200, width: 4, heads: 2 });
    for (let i = 0; i < 30; i++) run.step();
    return [worker.run.losses, run.losses];
    """
    in_worker, alone = engine(OPENED + program, names=names)
    assert in_worker == alone


def test_a_pause_ends_training_after_the_step_it_is_at_and_training_goes_on_from_there(
    engine: Engine, names: list[str]
):
    program = """
    const paced = call("train", { until: 200, stepsPerSecond: 50 });
    await new Promise((resolve) => setTimeout(resolve, 150));
    await call("pause");
    await paced;
    const paused = worker.run.losses.length;
    await new Promise((resolve) => setTimeout(resolve, 60));
    const later = worker.run.losses.length;
    await call("step");
    await call("train", { until: later + 3 });
    return { paused, later, end: worker.run.losses.length, stopped: answer(2).result };
    """
    found = engine(OPENED + program, names=names)
    assert 1 <= found["paused"] < 50
    assert found["later"] == found["paused"] == found["stopped"]["step"]
    assert found["end"] == found["later"] + 3


def test_opening_another_run_stops_the_one_in_training(engine: Engine, names: list[str]):
    program = """
    const training = call("train", { until: 200, stepsPerSecond: 20 });
    await call("open", { names: ["zoe"], steps: 2, width: 4, heads: 2 });
    await training;
    await call("train");
    return { names: worker.run.names, done: worker.run.losses.length };
    """
    assert engine(OPENED + program, names=names) == {"names": ["zoe"], "done": 2}


def test_a_refused_run_leaves_the_old_one_as_it_was(engine: Engine, names: list[str]):
    program = """
    await call("step");
    await call("open", { names: input.names, seed: -1 });
    return { error: answer(3).error, done: worker.run.losses.length };
    """
    found = engine(OPENED + program, names=names)
    assert found["error"]["problem"] == "The seed is -1."
    assert found["done"] == 1


def test_answers_given_away_leave_the_run_whole(engine: Engine, names: list[str]):
    program = """
    for (let i = 0; i < 3; i++) await call("step");
    const kinds = ["weights", "gradients", "m", "v"];
    const state = () => JSON.stringify(kinds.map((kind) => [...worker.run.moment(3)[kind]]));
    const before = state();
    for (const [method, ...given] of [
      ["moment", 3], ["moment", 0], ["weightHistory", 0], ["trace", "ava"], ["sample", { count: 2 }], ["operations"],
      ["stepGraph", "ava"], ["stepGraph", "ava"], ["scalars", 3, "ava"], ["scalarNeighbours", 9, "ava"],
      ["gradientPath", "wpe[0][0]", "ava"], ["nudge", 0, 1e-3, "ava"], ["readNames", "a\\nb"],
      ["expression", "a*b", { a: 1, b: 2 }], ["namesInExpression", "a*b"],
    ]) await call(method, ...given);
    const after = state();
    return { same: before === after, errors: messages.filter((message) => message.error) };
    """
    assert engine(OPENED + program, names=names) == {"same": True, "errors": []}


def test_what_fails_is_told_and_the_worker_goes_on(engine: Engine, names: list[str]):
    program = """
    await call("noSuchMethod");
    await call("step");
    return { error: answer(2).error, result: answer(3).result };
    """
    found = engine(OPENED + program, names=names)
    assert found["error"]["problem"].startswith("The engine failed: ")
    assert found["result"]["step"] == 1
