"""From the messages of a chat to the ids that a model goes on from.

A model that was taught to chat brings the template that it was taught with; the ids are those that `transformers`
makes of the same messages. A model without one was never taught to chat: its messages are written down plainly.

Nobody can speak in another role by spelling a special token in a message. Before the template is run, marks are set
within every such spelling, and wherever a message could complete one that the template begins. What the template alone
has written becomes special tokens; then the marks are taken away, and the rest is ordinary text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
import regex
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from glassbox.errors import BadInput
from glassbox.tokenizers import Tokenizer

PLAIN_LABELS = {"system": "System", "developer": "System", "user": "User", "assistant": "Assistant"}
PLAIN_STOP = ("\n\nUser:",)
"""Where a plainly written chat ends: the model has begun to speak for the person."""

NONCHARACTERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]  # Unicode keeps them free for a program's own use

Messages = Sequence[Mapping[str, Any]]


class Chat:
    """A tokenizer and a template, or none, that turn messages into a prompt.

    template: Jinja, run in its immutable sandbox. names: what the template may call by name, such as bos_token.
    Raises BadInput for a template that isn't Jinja.
    """

    def __init__(self, tokenizer: Tokenizer, template: str | None, names: Mapping[str, str]) -> None:
        self._tokenizer = tokenizer
        self._names = dict(names)
        self._template = None if template is None else _compiled(template)
        self._special = sorted(tokenizer.special_tokens, key=len, reverse=True)  # of two at one place, the longer one
        self._spelling = regex.compile("|".join(map(regex.escape, self._special)) or "(?!)")
        self._heads = tuple({special[:at] for special in self._special for at in range(1, len(special))})
        self._tails = tuple({special[at:] for special in self._special for at in range(1, len(special))})

    @property
    def has_template(self) -> bool:
        """Was the model taught to chat?"""
        return self._template is not None

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts that end an answer besides those that a request names."""
        return () if self._template is not None else PLAIN_STOP

    def prompt(self, messages: Messages) -> list[int]:
        """The ids that an answer goes on from.

        messages: each with its role and content, and perhaps a name.
        Raises BadInput where the template refuses the messages or fails on them, for half of a surrogate pair, and for
        characters that the tokenizer lacks.
        """
        if self._template is None:
            return [*self._tokenizer.beginning, *self._tokenizer.encode(_plain(messages))]
        mark = self._mark(messages)
        said = [{key: self._guarded(text, mark) if key != "role" else text for key, text in message.items()}
                for message in messages]  # fmt: skip
        return self._encoded(self._rendered(said), mark)

    def _rendered(self, messages: Messages) -> str:
        assert self._template is not None, "a plain chat isn't rendered"
        try:
            return self._template.render(
                messages=messages, tools=None, documents=None, add_generation_prompt=True, **self._names
            )
        except jinja2.TemplateError as error:
            raise BadInput(
                f"The model's chat template refuses these messages: {error}.", "Change their order or roles."
            ) from None
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise BadInput(
                f"The model's chat template fails on these messages: {type(error).__name__}: {error}.",
                "Change the messages; if none pass, the template needs mending.",
            ) from None

    def _encoded(self, guarded: str, mark: str) -> list[int]:
        """The ids of what the template wrote, marks left out."""
        text = guarded.replace(mark, "")
        found = [match.start() - guarded.count(mark, 0, match.start()) for match in self._spelling.finditer(guarded)]
        if found == [match.start() for match in self._spelling.finditer(text)]:
            return self._tokenizer.encode(text, allow_special=True)  # no message spells a special token
        ids: list[int] = []
        at = 0
        for match in self._spelling.finditer(guarded):
            ids += self._tokenizer.encode(guarded[at : match.start()].replace(mark, ""))
            ids.append(self._tokenizer.special_tokens[match.group()])
            at = match.end()
        return ids + self._tokenizer.encode(guarded[at:].replace(mark, ""))

    def _mark(self, messages: Messages) -> str:
        """A character that no message holds."""
        held = {character for message in messages for text in message.values() for character in text}
        mark = next((character for character in NONCHARACTERS if character not in held), None)
        if mark is None:
            raise BadInput("The messages hold every noncharacter of Unicode.", "Take out those from U+FDD0 to U+FDEF.")
        return mark

    def _guarded(self, text: str, mark: str) -> str:
        """The text with marks, so that neither alone nor with what the template puts around it spells a special token.

        What a template trims stays at the ends.
        """
        while match := self._spelling.search(text):
            if len(match.group()) == 1:
                raise BadInput(f"A message holds {match.group()}, which is a special token.", "Leave it out.")
            text = text[: match.start() + 1] + mark + text[match.start() + 1 :]
        core = text.strip()
        before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :] if core else ""
        if core and any(core in special for special in self._special):
            return f"{before}{mark}{core}{mark}{after}"
        begins, ends = core.startswith(self._tails), core.endswith(self._heads)
        return f"{before}{mark if begins else ''}{core}{mark if ends else ''}{after}"


def special_names(settings: Mapping[str, Any], tokenizer: Tokenizer) -> dict[str, str]:
    """What a template may call by name: bos_token, eos_token and their like.

    settings: of a Hugging Face tokenizer_config.json; empty for a model that was trained here, whose texts are parted
    by one token.
    """
    names: dict[str, str] = {}
    for key in ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"):
        value = settings.get(key)
        spelling = value.get("content") if isinstance(value, dict) else value
        if isinstance(spelling, str):
            names[key] = spelling
    if not settings:
        names |= {
            key: spelling
            for spelling, id in tokenizer.special_tokens.items()
            if id == tokenizer.end_of_text
            for key in ("bos_token", "eos_token")
        }
    return names


def _plain(messages: Messages) -> str:
    """Each message below the name of who speaks, an empty line between them, and the beginning of an answer."""
    told = [f"{PLAIN_LABELS[message['role']]}:\n{message['content']}\n\n" for message in messages]
    return "".join(told) + "Assistant:\n"


class _Generation(Extension):
    """`{% generation %}`: where templates say which part training learns from. Written as it stands."""

    tags = {"generation"}  # noqa: RUF012  (as Jinja declares it)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _compiled(template: str) -> jinja2.Template:
    """The settings and names are those that `transformers` gives to a template."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    try:
        return environment.from_string(template)
    except jinja2.TemplateError as error:
        raise BadInput(
            f"The model's chat template isn't Jinja: {error}.", "Mend chat_template.jinja where the model came from."
        ) from None


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None,
             sort_keys: bool = False) -> str:  # fmt: skip
    """Unlike Jinja's own, leaves <, > and & as they are."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)
