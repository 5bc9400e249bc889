"""`glassbox trace`, as a person and as a script meet it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from glassbox.engines.tensors import Transformer, save_model
from glassbox.pictures.saving import has_font
from glassbox.spec import Experts, ModelSpec
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.workspace import Workspace

NEEDS_FONT = pytest.mark.skipif(not has_font(), reason="this machine has no font to write with")
SPEC = ModelSpec(vocabulary_size=7, context=12, width=8, layers=2, heads=2, initial_std=0.5)


@pytest.fixture
def model(workspace: Workspace) -> str:
    return publish(workspace, SPEC)


def publish(workspace: Workspace, spec: ModelSpec, special_tokens: tuple[str, ...] = ("<|bos|>",)) -> str:
    with workspace.artifacts.draft("model", "tiny") as draft:
        save_model(Transformer(spec, 0), draft.folder)
        (draft.folder / "tokenizer").mkdir()
        CharacterTokenizer("abcd \n", special_tokens).save(draft.folder / "tokenizer")
    return "tiny"


def test_a_trace_shows_what_each_token_cost_and_what_was_expected(glassbox, model: str):
    shown = glassbox("trace", model, "ab\nc")
    assert shown.code == 0, shown.err
    assert "loss of each token in nats" in shown.out
    lines = [line.split() for line in shown.out.splitlines()]
    assert ["<|bos|>", "6"] in [line[:2] for line in lines]
    assert ["⏎", "0"] in [line[:2] for line in lines]
    assert "%" in shown.out


def test_predictions_come_as_numbers_too(glassbox, model: str, workspace: Workspace):
    found = glassbox("trace", model, "abc", "--json").json
    assert [token["text"] for token in found["tokens"]] == ["<|bos|>", "a", "b", "c"]
    said = found["predictions"]
    assert said["loss"][0] == "NaN"
    probabilities = [each["probability"] for each in said["likeliest"][0]]
    assert probabilities == sorted(probabilities, reverse=True)
    from glassbox.engines.tensors import load_model

    logits = load_model(workspace.artifacts.get("model", model).folder).forward(torch.tensor([[6, 2, 3, 4]]))[0]
    assert said["loss"][3] == pytest.approx(-logits[0, 2].log_softmax(-1)[4].item(), abs=1e-5)


@pytest.mark.parametrize("view", ["attention", "heads", "lens", "stream", "operations", "attribution"])
def test_every_view_is_shown_and_given_as_numbers(glassbox, model: str, view: str):
    shown = glassbox("trace", model, "abcab", "--view", view)
    assert shown.code == 0, shown.err
    assert len(shown.out.splitlines()) > 4
    assert glassbox("trace", model, "abcab", "--view", view, "--json").json[view]


def test_attention_leaves_the_future_empty(glassbox, model: str):
    shown = glassbox("trace", model, "ab", "--view", "attention", "--layer", "1", "--head", "0").out
    assert "layer 1, head 0" in shown
    assert "head 1" not in shown
    first = next(line.split() for line in shown.splitlines() if line.startswith("<|bos|>"))
    assert first == ["<|bos|>", "100"]


def test_all_heads_can_be_seen_at_a_glance(glassbox, model: str):
    shown = glassbox("trace", model, "abcd", "--view", "attention")
    lines = shown.out.splitlines()
    assert [line.split() for line in lines if line[1:2] == "."] == [["0.0", "0.1"], ["1.0", "1.1"]]
    assert "█" in shown.out


def test_any_value_and_any_gradient_can_be_asked_for(glassbox, model: str):
    shown = glassbox("trace", model, "ab", "--names", "blocks.*.attention.weights", "--gradients", "*.residual")
    assert shown.code == 0, shown.err
    assert "blocks.1.attention.weights  (1 x 2 x 3 x 3;" in shown.out
    assert "gradient of the loss by blocks.0.residual" in shown.out
    assert "loss of each token" not in shown.out
    found = glassbox("trace", model, "ab", "--gradients", "blocks.1.residual", "--json").json["values"]
    assert len(found["gradients"]["blocks.1.residual"][0]) == 3
    assert found["loss"] > 0


def test_every_value_of_a_mixture_of_experts_has_a_picture(glassbox, workspace: Workspace):
    spec = SPEC.replace(experts=Experts(count=3, active=2, hidden_width=4, shared=1))
    shown = glassbox("trace", publish(workspace, spec), "ab", "--names", "*")
    assert shown.code == 0, shown.err
    assert "experts.hidden  (1 x 3 x 2 x 4" in shown.out


def test_an_encoder_is_asked_about_what_is_masked(glassbox, workspace: Workspace):
    name = publish(workspace, SPEC.replace(kind="encoder"), special_tokens=("[MASK]",))
    shown = glassbox("trace", name, "ab")
    assert shown.code == 0, shown.err
    assert "expected there, masked" in shown.out
    assert len(glassbox("trace", name, "ab", "--json").json["predictions"]["loss"]) == 2
    assert glassbox("trace", name, "ab", "--view", "attribution", "--view", "lens").code == 0
    unmasked = publish(workspace, SPEC.replace(kind="encoder"))
    assert "[MASK]" in glassbox("trace", unmasked, "ab").err
    assert "decoders" in glassbox("trace", name, "ab", "--view", "patching", "--corrupted", "ba").err


def test_patching_compares_two_texts(glassbox, model: str):
    shown = glassbox("trace", model, "abc", "--view", "patching", "--corrupted", "dbc", "--value", "attention.output",
                     "--answer", "a", "--foil", "b")  # fmt: skip
    assert shown.code == 0, shown.err
    assert "when attention.output is exchanged" in shown.out
    assert "answer a (against b)" in shown.out
    assert glassbox("trace", model, "abc", "--view", "patching").code == 2
    several = glassbox("trace", model, "abc", "--view", "patching", "--corrupted", "abd", "--answer", "ab")
    assert "2 tokens" in several.err
    assert "tokens" in glassbox("trace", model, "abc", "--view", "patching", "--corrupted", "ab").err


@pytest.mark.parametrize("ending", ["svg", pytest.param("png", marks=NEEDS_FONT), "html"])
def test_what_is_shown_can_be_saved(glassbox, model: str, tmp_path: Path, ending: str):
    file = tmp_path / f"trace.{ending}"
    shown = glassbox("trace", model, "abc", "--view", "attention", "--save", str(file), "--theme", "light")
    assert shown.code == 0, shown.err
    assert file.stat().st_size > 1_000
    assert "wrote" in shown.err


def test_a_model_is_found_by_its_folder_too(glassbox, model: str, workspace: Workspace):
    folder = workspace.artifacts.get("model", model).folder
    assert glassbox("trace", str(folder), "abc").code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("abc", "--view", "atention"), "attention"),
        (("abc", "--view", "attention", "--layer", "2"), "layer 2"),
        (("abc", "--names", "blocks.*.attention.wieghts"), "wieghts"),
        (("xyz",), "'x'"),
        (("a" * 20,), "21 tokens"),
        (("a", "--view", "heads"), "three tokens"),
        (("abc", "--view", "heads", "--ablation", "median"), "zero, mean"),
        (("abc", "--save", "picture.gif"), ".png"),
        (("abc", "--theme", "sepia"), "dark or light"),
    ],
)
def test_what_cannot_be_shown_ends_with_two_sentences(glassbox, model: str, options: tuple[str, ...], said: str):
    shown = glassbox("trace", model, *options)
    assert shown.code == 2
    assert shown.out == ""
    assert said in " ".join(shown.err.split())


def test_at_a_terminal_it_is_coloured(at_a_terminal, model: str):
    shown = at_a_terminal("trace", model, "abcd", "--view", "attention", columns=80)
    assert "\x1b[" in shown
    assert "48;5" in shown or "48;2" in shown
