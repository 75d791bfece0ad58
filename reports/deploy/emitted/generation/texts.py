# SPDX-License-Identifier: Apache-2.0
"""Texts and chats as tokens, by the tokenizer that lies beside the model, and tokens as text."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chat_template import FAILURES, ChatTemplate
from openai_protocol import Refused
from tokenizers import Tokenizer


class Texts:
    """A tokenizer, and the template of chats where there is one."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        file = folder / "chat.json"
        chat = json.loads(file.read_text()) if file.exists() else None
        self.has_chats = chat is not None
        self._template = ChatTemplate(chat["template"], chat["special"]) if chat else None

    def tokens(self, text: str) -> list[int]:
        """Return a text's tokens, with those that the tokenizer puts around a text."""
        found: list[int] = self._tokenizer.encode(text).ids
        return found

    def tokens_of_chat(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """Return a chat's tokens up to where the next message begins. Raises Refused, in the template's own words where it has some."""
        assert self._template is not None
        try:
            text = self._template.text(messages)
        except FAILURES as error:
            raise Refused(400, f"the model's template does not take these messages: {str(error)[:200]}", param="messages") from error
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return found

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text
