"""`glassbox runs` and `glassbox artifacts` say what there is, to a person and to a script."""

from __future__ import annotations

import json

import pytest

from glassbox.workspace.run import Problem
from glassbox.workspace.saved_steps import step_folder


def begin(workspace, stage="pretrain", **inputs):
    run = workspace.runs.create(stage, name="plays", settings={"steps": 3}, inputs=inputs)
    return run, workspace.runs.begin(run)


def test_an_empty_workspace_says_where_to_begin(glassbox):
    for group in ("runs", "artifacts"):
        listed = glassbox(group, "list")
        assert (listed.code, listed.out) == (0, "")
        assert "Begin with: glassbox collect" in listed.err
        assert glassbox(group, "list", "--json").json == {group: []}
    assert glassbox("runs", "show").code == 2
    assert glassbox("runs", "resume").code == 2


def test_runs_are_listed_one_a_line(glassbox, workspace):
    first, attempt = begin(workspace)
    attempt.end("failed", problem=Problem(problem="It was dark.", remedy="Make light."))
    second, attempt = begin(workspace, "split")
    lines = glassbox("runs", "list").out.splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["run", "name", "state", "attempt"],
        [second.id, "plays", "running", "1"],
        [first.id, "plays", "failed", "1"],
    ]
    assert [run["id"] for run in glassbox("runs", "list", "--stage", "split", "--json").json["runs"]] == [second.id]
    attempt.end("finished")
    (second.folder / "state.json").write_text("{")
    assert "damaged" in glassbox("runs", "list").out


def test_a_run_is_shown_with_everything_about_it(glassbox, workspace, publish):
    corpus = publish("corpus", "plays")
    run, attempt = begin(workspace, corpus=corpus)
    attempt.end("failed", problem=Problem(problem="It was dark.", remedy="Make light."))
    shown = glassbox("runs", "show", run.id).out
    for words in (run.id, "failed", "steps", "corpus plays:1", "It was dark.", "Make light.", str(run.folder)):
        assert words in shown
    facts = glassbox("runs", "show", "--json").json
    assert facts["state"] == "failed"
    assert facts["inputs"] == {"corpus": "corpus plays:1"}
    assert facts["problem"]["remedy"] == "Make light."


def test_following_a_run_that_is_over_tells_it_all_and_ends(glassbox, workspace):
    run, attempt = begin(workspace)
    attempt.record("progress", done=1, total=2, unit="steps", note="training")
    attempt.record("metrics", step=1, values={"loss": float("nan")})
    attempt.record("log", message="a line")
    attempt.end("finished")
    followed = glassbox("runs", "follow", run.id)
    assert "a line" in followed.out
    assert f"{run.id} is finished." in followed.err
    events = [json.loads(line) for line in glassbox("runs", "follow", "--json").out.splitlines()]
    assert [event["kind"] for event in events] == ["state", "progress", "metrics", "log", "state"]
    assert events[2]["values"] == {"loss": "NaN"}


def test_following_shows_a_run_of_another_process_while_it_goes_on(start_glassbox, workspace):
    import time

    worker = start_glassbox("rehearse", "--steps", "6", "--pause", "0.3", "--loud")
    while not workspace.runs.list():
        time.sleep(0.05)
    follower = start_glassbox("runs", "follow", "--json")
    out, err = follower.communicate(timeout=60)
    worker.communicate(timeout=60)
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["sequence"] for event in events] == list(range(len(events))), err
    assert events[-1]["state"] == "finished"


def test_metrics_are_drawn_eighty_columns_wide_wherever_they_go(glassbox, workspace, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    run, attempt = begin(workspace)
    for step in range(0, 2000, 50):
        attempt.record(
            "metrics", step=step, values={"loss": 4 / (step + 1), "validation_loss": 2.0, "learning_rate": 1e-3}
        )
    attempt.end("finished")
    drawn = glassbox("runs", "plot", run.id).out
    assert "loss 0.002050" in drawn
    assert "validation loss 2" in drawn
    assert "learning rate" not in drawn
    assert "\x1b" not in drawn
    assert max(map(len, drawn.splitlines())) <= 80
    assert {"0", "500", "1,000", "1,500", "1,950"} <= set(drawn.split())
    assert "learning rate 0.001000" in glassbox("runs", "plot", run.id, "--metric", "learning_rate").out
    points = glassbox("runs", "plot", run.id, "--json").json["metrics"]["loss"]
    assert points[0] == [0, 4.0]
    assert len(points) == 40


def test_a_plot_without_anything_to_draw_says_what_there_is(glassbox, workspace):
    run, attempt = begin(workspace)
    attempt.record("metrics", step=1, values={"speed": 1.0, "loss": float("nan")})
    attempt.end("finished")
    assert "Choose some with --metric: speed, loss." in glassbox("runs", "plot", run.id).err
    assert "no metric called x" in glassbox("runs", "plot", run.id, "--metric", "x").err


def test_runs_are_deleted_all_or_none_and_never_while_at_work(glassbox, workspace):
    run, attempt = begin(workspace)
    other, other_attempt = begin(workspace)
    assert glassbox("runs", "delete", run.id).code == 2
    attempt.end("failed")
    assert glassbox("runs", "delete", run.id, "nothing").code == 2
    assert len(workspace.runs.list()) == 2
    other_attempt.end("finished")
    assert glassbox("runs", "delete", run.id, other.id, "--json").json == {"deleted": [run.id, other.id]}
    assert workspace.runs.list() == []


def save_steps(run, *steps):
    for step in steps:
        step_folder(run.checkpoints, step).mkdir()
        (step_folder(run.checkpoints, step) / "weights.safetensors").write_bytes(bytes(1_500_000))


def test_a_run_shows_its_checkpoints_and_what_they_take(glassbox, workspace):
    run, attempt = begin(workspace)
    save_steps(run, 400, 1200)
    attempt.end("finished")
    shown = glassbox("runs", "show", run.id).out
    assert "step 1,200" in shown
    assert "1.5 MB" in shown
    listed = glassbox("runs", "show", run.id, "--json").json["checkpoints"]
    assert listed == [{"step": 400, "bytes": 1_500_000}, {"step": 1200, "bytes": 1_500_000}]


def test_checkpoints_are_deleted_but_not_what_a_run_could_go_on_from(glassbox, workspace):
    run, attempt = begin(workspace)
    save_steps(run, 400)
    assert "Stop it first" in glassbox("runs", "delete-checkpoints", run.id).err
    attempt.end("failed")
    refused = glassbox("runs", "delete-checkpoints", run.id)
    assert refused.code == 2
    assert "--force" in refused.err
    assert step_folder(run.checkpoints, 400).exists()
    assert glassbox("runs", "delete-checkpoints", run.id, "--force", "--json").json == {
        "freed_bytes": {run.id: 1_500_000}
    }
    assert not run.checkpoints.exists()
    assert glassbox("runs", "show", run.id).code == 0
    over, attempt = begin(workspace)
    save_steps(over, 7)
    attempt.end("finished")
    assert "1.5 MB are free again." in glassbox("runs", "delete-checkpoints", over.id).err
    assert glassbox("runs", "delete-checkpoints", over.id).code == 0  # nothing is left, and that is well


def test_resuming_from_a_checkpoint_that_is_not_there_says_which_are(glassbox, workspace):
    run, attempt = begin(workspace)
    save_steps(run, 400, 1200)
    attempt.end("failed")
    refused = glassbox("runs", "resume", run.id, "--from-checkpoint", "500")
    assert refused.code == 2
    assert "400, 1200" in refused.err
    assert workspace.runs.get(run.id).state == "failed"


def test_artifacts_are_listed_and_shown(glassbox, publish):
    corpus = publish("corpus", "plays", "x" * 12_345)
    publish("tokenizer", "plays", parents=(corpus,))
    rows = [line.split() for line in glassbox("artifacts", "list").out.splitlines()]
    assert rows[0] == ["kind", "artifact", "size", "age", "made", "by"]
    assert rows[1][:2] == ["tokenizer", "plays:1"]
    assert rows[2][:4] == ["corpus", "plays:1", "12.3", "kB"]
    only = glassbox("artifacts", "list", "--kind", "corpus", "--json").json["artifacts"]
    assert [(one["kind"], one["bytes"]) for one in only] == [("corpus", 12_345)]
    shown = glassbox("artifacts", "show", "tokenizer", "plays").out
    assert "corpus plays:1" in shown
    assert "text.txt" in shown
    assert glassbox("artifacts", "show", "corpus", "plays:1", "--json").json["hash"] == corpus.manifest.hash
    assert glassbox("artifacts", "list", "--kind", "corpse").code == 2


def test_verification_names_what_differs_and_exits_with_two(glassbox, publish):
    good, bad = publish("corpus", "good"), publish("model", "bad")
    assert glassbox("artifacts", "verify").code == 0
    (bad.folder / "text.txt").write_text("Text")
    result = glassbox("artifacts", "verify")
    assert result.code == 2
    assert "corpus good:1  as published" in result.out
    assert "text.txt has other content than when it was published" in result.out
    assert glassbox("artifacts", "verify", "corpus").code == 0
    assert glassbox("artifacts", "verify", good.kind, "good").code == 0
    (bad.folder / "manifest.json").write_text("{")
    damaged = glassbox("artifacts", "verify", "model", "bad:1", "--json")
    assert damaged.code == 2
    assert "manifest.json is damaged" in damaged.json["damaged"]["model bad:1"][0]


def test_lineage_goes_both_ways(glassbox, workspace, publish):
    corpus = publish("corpus", "plays")
    tokenizer = publish("tokenizer", "plays", parents=(corpus,))
    publish("model", "plays", parents=(tokenizer,))
    workspace.delete_artifact("corpus", "plays", force=True)
    shown = glassbox("artifacts", "lineage", "tokenizer", "plays").out
    assert "corpus plays:1  deleted" in shown
    assert "made from it\nmodel plays:1" in shown
    facts = glassbox("artifacts", "lineage", "tokenizer", "plays", "--json").json
    assert facts["parents"][0]["deleted"] is True
    assert [child["kind"] for child in facts["children"]] == ["model"]


def test_deleting_asks_for_force_where_others_depend_on_it(glassbox, workspace, publish):
    corpus = publish("corpus", "plays")
    publish("model", "plays", parents=(corpus,))
    refused = glassbox("artifacts", "delete", "corpus", "plays", "--json")
    assert refused.code == 2
    assert "needed by the model plays:1" in refused.json["error"]["problem"]
    assert "--force" in refused.json["error"]["remedy"]
    deleted = glassbox("artifacts", "delete", "corpus", "plays", "--force", "--json")
    assert deleted.json == {"deleted": {"kind": "corpus", "reference": "plays:1"}}
    assert [entry.kind for entry in workspace.artifacts.list()] == ["model"]


@pytest.mark.parametrize(
    "arguments", ["runs show zz", "artifacts show corpus zz", "artifacts show corps x", "runs plot zz"]
)
def test_what_is_not_there_is_said_with_exit_code_two(glassbox, arguments):
    result = glassbox(*arguments.split(), "--json")
    assert result.code == 2
    assert result.json["error"]["remedy"]
