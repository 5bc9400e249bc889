"""A decoder of 0.1 million random parameters that reads and writes text, as an artifact."""

from __future__ import annotations

from glassbox.workspace import Artifact, Workspace

TEXT = "She sells sea shells by the sea shore. The shells she sells are surely seashells, says Zoë — or not?\n" * 4


def make_tiny_model(workspace: Workspace, name: str = "shells", seed: int = 0) -> Artifact:
    """A new version of the model of that name."""
    import torch

    from glassbox.engines.tensors import Transformer, save_model
    from glassbox.spec import ModelSpec
    from glassbox.tokenizers.bytepair_trainers import train
    from glassbox.tokenizers.splitting import PATTERNS

    tokenizer = train(TEXT, 256 + 64 + 1, pattern=PATTERNS["gpt4"], special_tokens=("<|endoftext|>",))
    spec = ModelSpec(vocabulary_size=tokenizer.vocabulary_size, context=512, width=64, layers=2, heads=2, qk_norm=True)
    model = Transformer(spec, seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.15)
    with workspace.artifacts.draft("model", name) as draft:
        (draft.folder / "tokenizer").mkdir()
        tokenizer.save(draft.folder / "tokenizer")
        save_model(model, draft.folder)
    return draft.artifact
