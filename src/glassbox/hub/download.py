"""A model from the Hugging Face hub by its name: weights as safetensors, JSON, and the chat template; nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from glassbox.errors import BadInput
from glassbox.hub.folder import (
    CHAT_TEMPLATE,
    CONFIG,
    GENERATION_CONFIG,
    INDEX,
    PICKLES,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
)  # fmt: skip
from glassbox.workspace.names import shown

FETCHED = [
    CONFIG, WEIGHTS, INDEX, "model-*.safetensors", TOKENIZER, TOKENIZER_CONFIG, GENERATION_CONFIG, CHAT_TEMPLATE,
]  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)


def download(name: str, revision: str | None = None) -> Path:
    """The model's folder in Hugging Face's cache, fetched where it isn't there yet.

    name: `owner/model`. revision: a branch, tag or commit; None is the newest version.

    Raises BadInput for what is no name, without the package `huggingface_hub`, without a network (and nothing in the
    cache), for models that don't exist, need a licence to be accepted, or have their weights as pickle only.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f"{shown(name)} is no name of a model on the hub.", "Give one such as EleutherAI/pythia-70m.")
    try:
        import huggingface_hub as library
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
    except ImportError:
        raise BadInput(
            "Fetching models needs a package that isn't installed.",
            "pip install huggingface_hub, or download the model's folder otherwise and give its path.",
        ) from None
    try:
        folder = Path(library.snapshot_download(name, revision=revision, allow_patterns=FETCHED))
        if not any((folder / file).exists() for file in (WEIGHTS, INDEX)):
            raise _without_safetensors(name, library.list_repo_files(name, revision=revision))
        return folder
    except BadInput:
        raise
    except GatedRepoError:
        problem, remedy = "asks for its licence to be accepted", "Accept it on its page, then: hf auth login"
    except RepositoryNotFoundError:
        problem, remedy = "isn't on the hub, or is private", "Check its name, and log in with: hf auth login"
    except RevisionNotFoundError:
        problem, remedy = f"has no revision {shown(str(revision))}", "Leave the revision out for the newest."
    except Exception as error:  # whatever the library's versions have called a missing network
        problem = f"can't be fetched: {str(error).partition(chr(10))[0].removesuffix('.')}"
        remedy = "Check the network, or give the path of a folder that holds the model."
    raise BadInput(f"The model {name} {problem}.", remedy) from None


def _without_safetensors(name: str, files: list[str]) -> BadInput:
    pickles = sorted(file for file in files if Path(file).suffix in PICKLES)
    held = f"as pickle only ({shown(pickles[0])}), which runs whatever its author put in" if pickles else "of no kind"
    return BadInput(f"The model {name} has weights {held}.", "Choose a version that was saved as safetensors.")
