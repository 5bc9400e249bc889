"""Look into a model: every value by name, what heads do, what each part says, and what matters to the answer.

    reader = Reader.load(folder)                              # a model with its tokenizer
    seen = trace(reader, "The cat sat", ["blocks.*.attention.weights"])
    seen.values["blocks.0.attention.weights"]                 # (1, heads, length, length)

Whatever is asked for comes from a forward pass over real tokens; nothing is computed for what isn't asked for.
"""

from glassbox.insight.ablation import ablate_heads, ablation_effects
from glassbox.insight.activation_patching import patch_activations
from glassbox.insight.attention_patterns import PATTERNS, attention_scores
from glassbox.insight.direct_attribution import attribute_logits
from glassbox.insight.head_detection import detect_heads, heads_on_repeated
from glassbox.insight.logit_lens import logit_lens
from glassbox.insight.predictions import masked_tokens, next_tokens
from glassbox.insight.reader import Reader
from glassbox.insight.residual_stream import residual_norms
from glassbox.insight.trace import Trace, trace, trace_tokens

__all__ = [
    "PATTERNS",
    "Reader",
    "Trace",
    "ablate_heads",
    "ablation_effects",
    "attention_scores",
    "attribute_logits",
    "detect_heads",
    "heads_on_repeated",
    "logit_lens",
    "masked_tokens",
    "next_tokens",
    "patch_activations",
    "residual_norms",
    "trace",
    "trace_tokens",
]
