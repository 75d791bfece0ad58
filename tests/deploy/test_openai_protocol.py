"""OpenAI's API as the emitted server of language models reads and writes it, and the text that tokens add."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.deploy.emitted.generation.continuation import Continuation
from reports.deploy.emitted.generation.openai_protocol import Answer, Interface, Refused, Wanted
from tests.fuzzing import as_json, damaged, inputs, texts, torn


class Words:
    """A tokenizer of which each token is a letter."""

    has_chats = True

    def tokens(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def tokens_of_chat(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        return self.tokens("".join(f"{message['role'][0]}{message['content']}" for message in messages))

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))


WORDS = Words()
NUMBERS = Interface(model="m", created=1, context=20, vocabulary=100, texts=None)
LETTERS = Interface(model="m", created=1, context=20, vocabulary=200, texts=WORDS)


def completion(served: Interface = NUMBERS, **asked: Any) -> Wanted:
    return served.completion(json.dumps({"model": "m", "prompt": [1, 2, 3]} | asked).encode())


def chat(served: Interface = LETTERS, **asked: Any) -> Wanted:
    return served.chat(json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]} | asked).encode())


def test_prompts_are_texts_or_numbers() -> None:
    assert [(1, 2, 3)] * 2 == [completion(prompt=prompt).prompt for prompt in ([1, 2, 3], [[1, 2, 3]])]
    assert [(97, 98)] * 2 == [completion(LETTERS, prompt=prompt).prompt for prompt in ("ab", ["ab"])]
    assert (1, 2, 3) == completion(LETTERS).prompt


def test_a_completion_has_sixteen_tokens_unless_a_number_is_named() -> None:
    assert [16, 16, 5] == [completion(**more).most for more in ({}, {"max_tokens": None}, {"max_tokens": 5})]


def test_a_stop_may_be_long() -> None:
    assert ("x" * 1000, "y") == chat(stop=["x" * 1000, "y"]).stops


def test_a_chat_goes_on_to_the_end_of_the_context() -> None:
    """What its parts say is one text; both names of the number are taken."""
    parts = [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]

    assert ((117, 104, 105), 17) == (chat().prompt, chat().most)
    assert chat().prompt == chat(messages=[{"role": "user", "content": parts}]).prompt
    assert [4, 4] == [chat(max_tokens=4).most, chat(max_completion_tokens=4).most]


def test_values_that_change_nothing_are_taken() -> None:
    neutral: dict[str, Any] = {"temperature": 0, "top_p": 0.5, "n": 1, "logit_bias": {}, "presence_penalty": 0, "seed": 7, "user": "me"}

    assert completion() == completion(**neutral, best_of=1, echo=False, logprobs=None, suffix=None)
    assert chat() == chat(**neutral, logprobs=False, tools=[], response_format={"type": "text"}, store=False)


@pytest.mark.parametrize(
    ("asked", "status", "param", "code", "part"),
    [
        ({"model": "other"}, 404, "model", "model_not_found", "served here is 'm'"),
        ({"temperature": 0.7}, 400, "temperature", "unsupported_value", "the one of highest logit"),
        ({"temperature": -1}, 400, "temperature", "unsupported_value", "leave temperature out or give 0"),
        ({"top_p": 0}, 400, "top_p", "invalid_value", "above 0"),
        ({"n": 2}, 400, "n", "unsupported_parameter", "n is not served here"),
        ({"logprobs": 1}, 400, "logprobs", "unsupported_parameter", "logprobs is not served here"),
        ({"logprobs": 0}, 400, "logprobs", "unsupported_parameter", "logprobs is not served here"),
        ({"echo": True}, 400, "echo", "unsupported_parameter", "echo is not served here"),
        ({"frobnicate": 1}, 400, "frobnicate", "unknown_parameter", "Unrecognized request argument supplied: frobnicate"),
        ({"max_tokens": "5"}, 400, "max_tokens", "invalid_type", "Expected `int | null`, got `str`"),
        ({"max_tokens": 0}, 400, "max_tokens", "invalid_value", "at least 1 is expected"),
        ({"max_tokens": 10**4300 - 1}, 400, "max_tokens", "invalid_type", "Expected `int` <="),  # as is its sum
        ({"max_tokens": 18}, 400, "prompt", "context_length_exceeded", "is 20 tokens, and 21 were asked for (3 in the prompt, 18 in the"),
        ({"prompt": list(range(30))}, 400, "prompt", "context_length_exceeded", "30 in the prompt"),
        ({"prompt": []}, 400, "prompt", None, "has no token"),
        ({"prompt": [1, 100]}, 400, "prompt", None, "from 0 to 99; found 1 to 100"),
        ({"prompt": [-1]}, 400, "prompt", None, "found -1 to -1"),
        ({"prompt": [[1], [2]]}, 400, "prompt", None, "one prompt a request"),
        ({"prompt": [1, "a"]}, 400, "prompt", None, "one prompt a request"),
        ({"prompt": "text"}, 400, "prompt", None, "has no tokenizer: give the prompt as an array of token ids"),
        ({"prompt": [True]}, 400, "prompt", "invalid_type", "got `bool`"),
        ({"stop": "x"}, 400, "stop", None, "no text stops it"),
    ],
)
def test_what_is_not_served_is_refused_by_name(asked: dict[str, Any], status: int, param: str, code: str | None, part: str) -> None:
    with pytest.raises(Refused) as refused:
        completion(**asked)

    body = refused.value.body()["error"]
    assert (status, "invalid_request_error", param, code) == (refused.value.status, body["type"], body["param"], body["code"])
    assert part in body["message"]


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"messages": []}, "at least one is expected"),
        ({"messages": [{"role": "user", "content": None}]}, "Expected `str | array`, got `null`"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "text": ""}]}]}, "Invalid enum value 'image_url'"),
        ({"messages": [{"role": "user", "content": "x" * 30}]}, "31 in the messages"),
        ({"stop": ["a"] * 5}, "at most 4 texts"),
        ({"stop": ""}, "none of them empty"),
        ({"stop": ["a", "b" * 1001]}, "has at most 1000 characters; found 1001"),
        ({"logprobs": True}, "logprobs is not served here"),
        ({"tools": [{"type": "function"}]}, "tools is not served here"),
        ({"response_format": {"type": "json_object"}}, "response_format is not served here"),
    ],
)
def test_chats_that_are_not_served_are_refused(asked: dict[str, Any], part: str) -> None:
    with pytest.raises(Refused, match=r"(?s).*") as refused:
        chat(**asked)
    assert part in str(refused.value)


def test_a_model_without_a_template_takes_no_chats() -> None:
    with pytest.raises(Refused, match="ask for completions"):
        chat(NUMBERS)


@pytest.mark.parametrize("body", [b"", b"rubbish", b"[]", b'{"model": "m"', b'"m"', b"\xff", b"[" * 100_000])
def test_a_malformed_body_is_refused(body: bytes) -> None:
    for read in (NUMBERS.completion, LETTERS.chat):
        with pytest.raises(Refused) as refused:
            read(body)
        assert 400 == refused.value.status


WHOLE = {
    "model": "m",
    "prompt": [1, 2, 3],
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 4,
    "stop": ["a"],
    "stream_options": {"include_usage": True},
}
OF_COMPLETIONS, OF_CHATS = ({name: value for name, value in WHOLE.items() if name != other} for other in ("messages", "prompt"))


@inputs(500)
@given(body=st.binary(max_size=100) | torn((damaged(OF_COMPLETIONS, texts(5)) | damaged(OF_CHATS, texts(5))).map(as_json)))
def test_whatever_is_sent_is_understood_or_refused(body: bytes) -> None:
    """No other exception; a refusal can be written, and what is understood fits into the context."""
    for read in (NUMBERS.completion, LETTERS.completion, LETTERS.chat):
        try:
            wanted = read(body)
        except Refused as refused:
            json.dumps(refused.body()).encode()
            msgspec.json.encode(refused.body())
        else:
            assert 0 < len(wanted.prompt) < len(wanted.prompt) + wanted.most <= 20


def events(content: bytes) -> list[Any]:
    """What the events say, but for the last one, which says that they are done."""
    said = content.decode().split("\n\n")
    assert ["data: [DONE]", ""] == said[-2:]
    return [json.loads(each.removeprefix("data: ")) for each in said[:-2]]


def test_an_answer_in_one_piece_counts_its_tokens() -> None:
    whole = json.loads(Answer.to(completion(), "m", 5).whole("", [7, 8], "length"))

    assert {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5} == whole["usage"]
    assert ("text_completion", 5, "m") == (whole["object"], whole["created"], whole["model"])
    assert [{"text": "", "index": 0, "logprobs": None, "finish_reason": "length", "token_ids": [7, 8]}] == whole["choices"]
    said = json.loads(Answer.to(chat(), "m", 5).whole("so", [7, 8], "stop"))["choices"][0]
    assert ({"role": "assistant", "content": "so"}, "stop", False) == (said["message"], said["finish_reason"], "token_ids" in said)


def test_events_are_those_of_openai() -> None:
    """A chat's begin with the role; usage comes last where it was asked for, and before that each event says that it has none."""
    answer = Answer.to(chat(stream=True, stream_options={"include_usage": True}), "m", 5)
    first, piece, last, usage = events(answer.first() + answer.piece("so", [7]) + answer.last(1, "stop"))

    assert {"chat.completion.chunk"} == {each["object"] for each in (first, piece, last, usage)}
    assert [{"role": "assistant", "content": ""}, {"content": "so"}, {}] == [each["choices"][0]["delta"] for each in (first, piece, last)]
    assert [None, None, "stop"] == [each["choices"][0]["finish_reason"] for each in (first, piece, last)]
    assert [None, None, None] == [each["usage"] for each in (first, piece, last)]
    assert ([], 1) == (usage["choices"], usage["usage"]["completion_tokens"])
    plain = Answer.to(completion(stream=True), "m", 5)
    numbers, ended = events(plain.first() + plain.piece("", [7]) + plain.last(1, "length"))
    assert ([7], "length", False) == (numbers["choices"][0]["token_ids"], ended["choices"][0]["finish_reason"], "usage" in ended)


def grown(tokens: Sequence[int], *stops: str, by: Any = WORDS, prompt: Sequence[int] = (97,)) -> tuple[list[str], Continuation]:
    """What each token gives out, and the rest; and what the text was grown by."""
    continuation = Continuation(by, prompt, stops)
    given = []
    for token in tokens:
        given.append(continuation.add(token))
        if continuation.is_stopped:
            break
    else:
        given.append(continuation.end())
    return given, continuation


def test_a_text_grows_by_what_its_tokens_add() -> None:
    given, continuation = grown([98, 99])

    assert (["b", "c", ""], "bc", False) == (given, continuation.text, continuation.is_stopped)
    assert ["", "", ""] == grown([98, 99], by=None)[0]


def test_a_text_that_stops_is_not_given_out_whatever_tokens_it_came_in() -> None:
    """What may be its beginning is held back, and given out once it is none."""
    given, continuation = grown([98, 99, 100, 101], "cd")
    assert (["b", "", ""], "b", True) == (given, continuation.text, continuation.is_stopped)
    given, continuation = grown([98, 99, 101], "cd")
    assert (["b", "", "ce", ""], "bce", False) == (given, continuation.text, continuation.is_stopped)
    given, continuation = grown([98, 99], "cd", "x")
    assert (["b", "", "c"], "bc", False) == (given, continuation.text, continuation.is_stopped)


class Counted(str):
    """A text that counts the pieces that are taken of it."""

    taken = 0

    def __getitem__(self, key: Any) -> str:
        self.taken += 1
        piece: str = super().__getitem__(key)
        return piece


def test_a_long_stop_costs_no_more_than_what_is_held_back() -> None:
    """Each token is looked at between those of other clients."""
    stop = Counted("x" * 1000)

    given, continuation = grown([98, 120, 120, 99], stop)

    assert (["b", "", "", "xxc", ""], "bxxc") == (given, continuation.text)
    assert stop.taken <= 1 + 1 + 2 + 3


class Bytes:
    """A tokenizer of which each token is a byte of UTF-8."""

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode(errors="replace")


def test_characters_of_several_tokens_come_whole() -> None:
    given, continuation = grown("é€b".encode(), by=Bytes())
    assert (["", "é", "", "", "€", "b", ""], "é€b") == (given, continuation.text)
    given, continuation = grown("b€".encode()[:-1], by=Bytes())
    assert "b\N{REPLACEMENT CHARACTER}" == continuation.text


class Blanks:
    """A tokenizer that drops the blank at the beginning of a text, as sentencepiece's do."""

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(f" w{token}" for token in tokens)[1:]


def test_the_blank_before_the_first_new_word_is_kept() -> None:
    assert [" w2", " w3", ""] == grown([2, 3], by=Blanks(), prompt=[1])[0]
