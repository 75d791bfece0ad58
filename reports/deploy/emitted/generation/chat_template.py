# SPDX-License-Identifier: Apache-2.0
"""A chat as the text that its model was trained on, by the template that came with it. Templates are rendered as transformers does."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

FAILURES = (TemplateError, LookupError, SyntaxError, TypeError, ValueError)  # what a template ends with that is not rendered


class Declined(TemplateError):
    """The template says that it does not take these messages."""


class ChatTemplate:
    """A template of chats, and the special tokens that it knows by name. Raises one of FAILURES."""

    def __init__(self, template: str, special: Mapping[str, str]) -> None:
        self._template = _environment().from_string(template)
        self._special = special

    def text(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Return a chat's text up to where the next message begins. Raises one of FAILURES."""
        return self._template.render(messages=messages, add_generation_prompt=True, tools=None, documents=None, **self._special)


class _Generation(Extension):
    """What stands between `{% generation %}` and `{% endgeneration %}` is given through: the tags mark what a model is trained to say."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def _environment() -> ImmutableSandboxedEnvironment:
    """Return what renders templates: in a sandbox, so that they reach nothing but their messages."""

    def raise_exception(message: str) -> None:
        raise Declined(message)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return made
