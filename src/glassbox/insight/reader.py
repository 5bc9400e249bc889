"""A model with the tokenizer that it learned with: what turns a text into something to look into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from glassbox.engines.model_files import SPEC_FILE
from glassbox.engines.tensors import Transformer, load_model
from glassbox.errors import BadInput
from glassbox.tokenizers import Tokenizer, load

TOKENIZER_FOLDER = "tokenizer"
AROUND = (("[CLS]", "[SEP]"), ("<s>", "</s>"))  # what encoders read a text between


@dataclass(frozen=True)
class Reader:
    """model: of the tensors engine. tokenizer: the one that its ids come from."""

    model: Transformer
    tokenizer: Tokenizer

    @classmethod
    def load(cls, folder: Path) -> Reader:
        """What training or an import published. Raises BadInput for a damaged folder, or one without a tokenizer."""
        if not (folder / SPEC_FILE).is_file():
            raise BadInput(f"There is no model in {folder}: {SPEC_FILE} is missing.", "Choose the folder of a model.")
        if not (folder / TOKENIZER_FOLDER).is_dir():
            raise BadInput(
                f"The model in {folder} has no tokenizer beside it, so no text can be given to it.",
                "Choose a model that training published, or import one with its tokenizer.",
            )
        model, tokenizer = load_model(folder), load(folder / TOKENIZER_FOLDER)
        if tokenizer.vocabulary_size > model.spec.vocabulary_size:
            raise BadInput(
                f"The model knows {model.spec.vocabulary_size:,} ids, and the tokenizer in its folder makes "
                f"{tokenizer.vocabulary_size:,}.",
                "Choose a model whose folder is as it was published.",
            )
        return cls(model, tokenizer)

    def tokens(self, text: str) -> Tensor:
        """The ids of a text as the model saw texts in training, (1, length), with the marks around it.

        A causal model's text stands behind the mark of a beginning, or that of the end of another text; an encoder's
        between [CLS] and [SEP], or <s> and </s>, if its tokenizer has them (BERT, RoBERTa).

        Raises BadInput for an encoder-decoder, and for a text of no tokens, of more than the model reads, or that the
        tokenizer can't encode.
        """
        if self.model.spec.kind == "encoder-decoder":
            raise BadInput(
                "An encoder-decoder reads one text and writes another, and a single text came.",
                "Give the ids of both to glassbox.insight.trace_tokens, in Python.",
            )
        ids = self.tokenizer.encode(text)
        if self.model.spec.causal:
            ids = [*self._beginning, *ids]
        if not self.model.spec.causal:
            known = self.tokenizer.special_tokens
            first, last = next((pair for pair in AROUND if known.keys() >= set(pair)), (None, None))
            ids = ids if first is None or last is None else [known[first], *ids, known[last]]
        if not ids:
            raise BadInput("The text is empty, and this tokenizer has no mark of a beginning.", "Give some text.")
        limit = self.model.spec.context
        if len(ids) > limit:
            raise BadInput(
                f"The text has {len(ids):,} tokens, and the model reads at most {limit:,}.",
                "Give a shorter text, or a part of it.",
            )
        return self.model.batch([ids])

    @property
    def _beginning(self) -> tuple[int, ...]:
        """What stood before a text in training: an imported model's own mark, else what parts documents."""
        end = self.tokenizer.end_of_text
        return self.tokenizer.beginning or (() if end is None else (end,))

    def pieces(self, tokens: Tensor) -> list[str]:
        """What each id of one row, (length,) or (1, length), spells; part of a character is shown as U+FFFD."""
        return [self.tokenizer.decode([id]) for id in tokens.flatten().tolist()]
