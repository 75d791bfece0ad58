# SPDX-License-Identifier: Apache-2.0
"""OpenAI's API of completions and chats: requests to what is generated, tokens to answers, in one piece or as events. Pure.

What would change an answer and is not served here is refused, nothing is silently left out.
Source: platform.openai.com/docs/api-reference, "Completions", "Chat", "Models", "Streaming" and the error codes.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import msgspec

HEAD_BYTES = 65536  # of a request's own words, without its prompt
BYTES_OF_A_TOKEN = 32  # in a body, as text with escapes or as a number
USUAL_TOKENS = 16  # of a completion that names no number
MOST_STOPS = 4
MOST_OF_A_STOP = 1000  # characters
DONE = b"data: [DONE]\n\n"
_FIELD = re.compile(r"\$\.(\w+)")
_UNKNOWN_FIELD = re.compile(r"unknown field `(\w+)`")


class Refused(Exception):
    """A request that is not answered; `status` is HTTP's, the others are what OpenAI's errors have."""

    def __init__(self, status: int, why: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.param = param
        self.code = code

    def body(self) -> dict[str, Any]:
        """Return the answer."""
        return error_body(self.status, str(self), self.param, self.code)


def error_body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return an error as OpenAI's clients read it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Texts(Protocol):
    """What turns texts and chats into tokens; `has_chats` says whether the latter are known."""

    has_chats: bool

    def tokens(self, text: str) -> list[int]: ...
    def tokens_of_chat(self, messages: Sequence[Mapping[str, Any]]) -> list[int]: ...


class _StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["text"]
    text: str


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    role: str
    content: str | list[_Part]
    name: str | None = None


_Tokens = Annotated[int, msgspec.Meta(le=2**63 - 1)]  # no text could hold a sum of longer numbers


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    """What both kinds of requests have. Those in `NEUTRAL` and its like are taken with values alone that change nothing."""

    model: str
    max_tokens: _Tokens | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    return_token_ids: bool | None = None  # vLLM's, for clients that want numbers
    n: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None


class _Completion(_Asked, forbid_unknown_fields=True):
    prompt: str | list[int | str | list[int]] = ""
    best_of: int | None = None
    echo: bool | None = None
    logprobs: int | None = None
    suffix: str | None = None


class _Chat(_Asked, forbid_unknown_fields=True):
    messages: list[_Message] = []
    max_completion_tokens: _Tokens | None = None
    logprobs: bool | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    tools: list[Any] | None = None
    response_format: dict[str, Any] | None = None


Values = Mapping[str, tuple[Any, ...]]

NEUTRAL: Values = {"n": (1,), "frequency_penalty": (0,), "presence_penalty": (0,), "logit_bias": ({},)}
NEUTRAL_IN_COMPLETIONS: Values = {
    **NEUTRAL,
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (),  # 0 asks for that of the chosen token
}
NEUTRAL_IN_CHATS: Values = {
    **NEUTRAL,
    "logprobs": (False,),
    "tools": ([],),
    "response_format": ({"type": "text"},),
    "store": (False,),
}


@dataclass(frozen=True)
class Wanted:
    """A request that was understood: the prompt's tokens, the most new ones, and how they are answered."""

    prompt: tuple[int, ...]
    most: int
    stops: tuple[str, ...]
    stream: bool
    with_usage: bool
    with_tokens: bool
    is_chat: bool


@dataclass(frozen=True)
class Interface:
    """What is served: the model by its name, its context and vocabulary, and its tokenizer where it has one."""

    model: str
    created: int
    context: int
    vocabulary: int
    texts: Texts | None

    @property
    def most_bytes(self) -> int:
        """The longest request."""
        return HEAD_BYTES + BYTES_OF_A_TOKEN * self.context

    def described(self) -> dict[str, Any]:
        """Return the model as it is listed."""
        return {"id": self.model, "object": "model", "created": self.created, "owned_by": "cpu-inference-ladder"}

    def check_name(self, name: str) -> None:
        """Raise Refused for another model than the one that is served."""
        if name != self.model:
            why = f"The model {name[:200]!r} does not exist: served here is {self.model!r}"
            raise Refused(404, why, param="model", code="model_not_found")

    def completion(self, body: bytes | bytearray) -> Wanted:
        """Return what a request for a completion asks for. Raises Refused."""
        asked = _decoded(body, _Completion)
        self.check_name(asked.model)
        _check(asked, NEUTRAL_IN_COMPLETIONS)
        return self._wanted(asked, self._prompt(asked.prompt), USUAL_TOKENS if asked.max_tokens is None else asked.max_tokens)

    def chat(self, body: bytes | bytearray) -> Wanted:
        """Return what a request for a chat's next message asks for. Raises Refused."""
        asked = _decoded(body, _Chat)
        self.check_name(asked.model)
        _check(asked, NEUTRAL_IN_CHATS)
        if self.texts is None or not self.texts.has_chats:
            raise Refused(400, f"{self.model} has no template of chats: ask for completions (POST /v1/completions)", param="messages")
        if not asked.messages:
            raise Refused(400, "messages are empty: at least one is expected", param="messages")
        prompt = self.texts.tokens_of_chat([_as_template(message) for message in asked.messages])
        most = asked.max_completion_tokens if asked.max_tokens is None else asked.max_tokens
        return self._wanted(asked, prompt, max(1, self.context - len(prompt)) if most is None else most)

    def _prompt(self, prompt: str | list[int | str | list[int]]) -> list[int]:
        """Return the tokens of the one prompt. Raises Refused."""
        if isinstance(prompt, list) and len(prompt) == 1 and not isinstance(prompt[0], int):
            prompt = prompt[0]  # type: ignore[assignment] # the list of one prompt
        if isinstance(prompt, str):
            if self.texts is None:
                raise Refused(400, f"{self.model} has no tokenizer: give the prompt as an array of token ids", param="prompt")
            return self.texts.tokens(prompt)
        if not all(isinstance(token, int) for token in prompt):
            raise Refused(400, "one prompt a request is served here, as a text or an array of token ids", param="prompt")
        return [token for token in prompt if isinstance(token, int)]

    def _wanted(self, asked: _Asked, prompt: list[int], most: int) -> Wanted:
        is_chat = isinstance(asked, _Chat)
        param = "messages" if is_chat else "prompt"
        if not prompt:
            raise Refused(400, "the prompt has no token: at least one is expected", param=param)
        if not 0 <= min(prompt) <= max(prompt) < self.vocabulary:
            raise Refused(400, f"token ids are from 0 to {self.vocabulary - 1}; found {min(prompt)} to {max(prompt)}", param=param)
        if most < 1:
            raise Refused(400, f"max_tokens is {most}: at least 1 is expected", param="max_tokens", code="invalid_value")
        if len(prompt) + most > self.context:
            raise Refused(
                400,
                f"This model's maximum context length is {self.context} tokens, and {len(prompt) + most} were asked for "
                f"({len(prompt)} in the {param}, {most} in the completion): shorten either",
                param=param,
                code="context_length_exceeded",
            )
        return Wanted(
            prompt=tuple(prompt),
            most=most,
            stops=self._stops(asked.stop),
            stream=bool(asked.stream),
            with_usage=bool(asked.stream_options and asked.stream_options.include_usage),
            with_tokens=bool(asked.return_token_ids) or self.texts is None,
            is_chat=is_chat,
        )

    def _stops(self, stop: str | list[str] | None) -> tuple[str, ...]:
        stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
        if stops and self.texts is None:
            raise Refused(400, f"{self.model} has no tokenizer, so that no text stops it: leave stop out", param="stop")
        if len(stops) > MOST_STOPS or "" in stops:
            raise Refused(400, f"stop has at most {MOST_STOPS} texts, none of them empty; found {len(stops)}", param="stop")
        if (longest := max(map(len, stops), default=0)) > MOST_OF_A_STOP:
            raise Refused(400, f"a text of stop has at most {MOST_OF_A_STOP} characters; found {longest}: shorten it", param="stop")
        return stops


@dataclass(frozen=True)
class Answer:
    """The words of the answer to one request; `created` is in seconds since 1970."""

    wanted: Wanted
    model: str
    created: int
    id: str

    @classmethod
    def to(cls, wanted: Wanted, model: str, created: int) -> "Answer":
        """Return the answer to a request, by a name of its own."""
        return cls(wanted, model, created, f"{'chatcmpl' if wanted.is_chat else 'cmpl'}-{secrets.token_hex(12)}")

    def whole(self, text: str, tokens: Sequence[int], finish_reason: str) -> bytes:
        """Return the answer in one piece."""
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if self.wanted.is_chat else {"text": text}
        choice |= {"index": 0, "logprobs": None, "finish_reason": finish_reason} | self._ids(tokens)
        return msgspec.json.encode(self._head("chat.completion") | {"choices": [choice], "usage": self._usage(len(tokens))})

    def first(self) -> bytes:
        """Return the event that a stream begins with: of a chat the role, of a completion nothing."""
        return self._event({"delta": {"role": "assistant", "content": ""}}) if self.wanted.is_chat else b""

    def piece(self, text: str, tokens: Sequence[int]) -> bytes:
        """Return the event of some text, and of the tokens that came with it."""
        return self._event(({"delta": {"content": text}} if self.wanted.is_chat else {"text": text}) | self._ids(tokens))

    def last(self, count: int, finish_reason: str) -> bytes:
        """Return the events that a stream of `count` tokens ends with."""
        nothing: dict[str, Any] = {"delta": {}} if self.wanted.is_chat else {"text": ""}
        ended = self._event(nothing | self._ids(()), finish_reason)
        if self.wanted.with_usage:
            ended += as_event(self._head("chat.completion.chunk") | {"choices": [], "usage": self._usage(count)})
        return ended + DONE

    def _event(self, choice: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        words = self._head("chat.completion.chunk") | {
            "choices": [dict(choice) | {"index": 0, "logprobs": None, "finish_reason": finish_reason}]
        }
        return as_event(words | ({"usage": None} if self.wanted.with_usage else {}))

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind if self.wanted.is_chat else "text_completion",
            "created": self.created,
            "model": self.model,
        }

    def _ids(self, tokens: Sequence[int]) -> dict[str, Any]:
        return {"token_ids": list(tokens)} if self.wanted.with_tokens else {}

    def _usage(self, count: int) -> dict[str, int]:
        given = len(self.wanted.prompt)
        return {"prompt_tokens": given, "completion_tokens": count, "total_tokens": given + count}


def as_event(words: Mapping[str, Any]) -> bytes:
    """Return an event: of an answer, or the error that a stream ends with that cannot go on."""
    return b"data: " + msgspec.json.encode(words) + b"\n\n"


def _decoded(body: bytes | bytearray, kind: type[Any]) -> Any:
    """Return the request. Raises Refused."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        unknown, field = _UNKNOWN_FIELD.search(str(error)), _FIELD.search(str(error))
        if unknown and field is None:
            name = unknown[1]
            raise Refused(400, f"Unrecognized request argument supplied: {name}", param=name, code="unknown_parameter") from error
        raise Refused(400, _shown(error), param=field[1] if field else None, code="invalid_type") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"We could not parse the JSON body of your request: {_shown(error)}") from error


def _check(asked: Any, neutral: Values) -> None:
    """Refuse what would change the answer and is not served. Raises Refused."""
    if asked.temperature:
        raise Refused(
            400,
            f"temperature {asked.temperature:g} is not served: each token is the one of highest logit, as it was measured; "
            "leave temperature out or give 0",
            param="temperature",
            code="unsupported_value",
        )
    if asked.top_p is not None and not 0 < asked.top_p <= 1:
        raise Refused(400, f"top_p is {asked.top_p:g}: above 0 and at most 1 is expected", param="top_p", code="invalid_value")
    for name, harmless in neutral.items():
        found = getattr(asked, name)
        if found is not None and found not in harmless:
            raise Refused(400, f"{name} is not served here: leave it out", param=name, code="unsupported_parameter")


def _as_template(message: _Message) -> dict[str, Any]:
    """Return a message as templates take it, its parts as one text."""
    content = message.content if isinstance(message.content, str) else "".join(part.text for part in message.content)
    return {"role": message.role, "content": content} | ({"name": message.name} if message.name else {})


def _shown(error: Exception) -> str:
    return str(error)[:200].encode(errors="replace").decode()
