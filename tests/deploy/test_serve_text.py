"""The emitted server of language models, with a model that counts: real clients are answered, bad ones hold up nobody, it ends in order."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reports.deploy.emit import OF_TEXT
from tests.deploy.test_serve import Served, ended, put, serving

SLOW, FAILS, ENDS = 7, 13, 9  # as a prompt's first token
MODEL = f"""
import threading, time
class Model:
    deployment = {{"model": "tiny"}}
    context, vocabulary, ends = 200_000, 50, frozenset({{49}})
    def __init__(self):
        self.thread = threading.get_ident()
    def generate(self, prompt, most, goes_on=lambda: True):
        assert threading.get_ident() == self.thread, "another thread than that which loaded the model"
        if prompt[0] == {FAILS}:
            raise RuntimeError("no kernel for this")
        for place in range(most):
            if not goes_on():
                return
            if prompt[0] == {SLOW}:
                time.sleep(0.01)
            if prompt[0] == {ENDS} and place == 2:
                yield 49
                return
            yield (prompt[-1] + place + 1) % 49
def load():
    return Model()
"""
TOKENIZER = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers
words = Tokenizer(models.WordLevel({f"w{number}": number for number in range(49)} | {"<end>": 49}, unk_token="w0"))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
words.add_special_tokens(["<end>"])
words.save(sys.argv[1])
"""
TEMPLATE = (
    "{% for message in messages %}{% if message.role != 'user' %}{{ raise_exception('users alone speak here') }}{% endif %}"
    "{{ message.content }} {% endfor %}{% if add_generation_prompt %}{{ bos_token }}{% endif %}"
)


class Texts(Served):
    """A server of a language model that runs."""

    def complete(self, prompt: Any, **asked: Any) -> tuple[int, Any]:
        status, _, content = self.ask("POST", "/v1/completions", json.dumps({"model": "tiny", "prompt": prompt} | asked).encode())
        return status, json.loads(content)

    def is_well(self) -> bool:
        status, answer = self.complete([1], max_tokens=3)
        return status == 200 and answer["choices"][0]["token_ids"] == [2, 3, 4]

    def get_well(self) -> None:
        """Return as soon as others are answered again."""
        until_s = time.monotonic() + 60
        while not self.is_well():
            assert time.monotonic() < until_s, "the model is still busy after a minute"

    def begin(self, **asked: Any) -> socket.socket:
        """Ask for a stream, and return once its first token is there."""
        client = self.send(stream=True, **asked)
        until(client, b"token_ids")
        return client

    def send(self, **asked: Any) -> socket.socket:
        """Ask for a text that comes slowly, and return without waiting for it."""
        client = self.connect()
        body = json.dumps({"model": "tiny", "prompt": [SLOW], "max_tokens": 190_000} | asked).encode()
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return client


def until(client: socket.socket, part: bytes) -> bytes:
    """Return what a server has said once `part` of it is there."""
    said = b""
    while part not in said:
        more = client.recv(65536)
        assert more, said
        said += more
    return said


Serve = Callable[..., Texts]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the server, with a model that counts and no tokenizer."""
    put(tmp_path, MODEL, "serving.py", *OF_TEXT)
    return tmp_path


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """A function that starts the server, with limits that are set to other values."""
    yield from serving(folder, Texts)


@pytest.fixture
def tokenizer(folder: Path) -> None:
    """Words w0 to w48 as tokens, and a template of chats."""
    pytest.importorskip("tokenizers", reason="tokenizers is not installed -> pip install tokenizers")
    (folder / "tokenizer").mkdir()
    subprocess.run([sys.executable, "-c", TOKENIZER, str(folder / "tokenizer" / "tokenizer.json")], check=True, timeout=60)
    (folder / "tokenizer" / "chat.json").write_text(json.dumps({"template": TEMPLATE, "special": {"bos_token": "w20"}}))


OPENAI = """
import sys
import openai
client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
complete, chat = client.completions.create, client.chat.completions.create
assert [each.id for each in client.models.list()] == ["tiny"] and client.models.retrieve("tiny").owned_by
"""
WITHOUT_TOKENIZER = """
answer = complete(model="tiny", prompt=[5, 6], max_tokens=4, temperature=0)
assert answer.choices[0].token_ids == [7, 8, 9, 10] and answer.choices[0].finish_reason == "length", answer
assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (2, 4, 6)
streamed = list(complete(model="tiny", prompt=[5, 6], max_tokens=4, stream=True, stream_options={"include_usage": True}))
assert [token for each in streamed for choice in each.choices for token in choice.token_ids] == [7, 8, 9, 10], streamed
assert streamed[-1].usage.completion_tokens == 4 and streamed[-2].choices[0].finish_reason == "length"
def refused(kind, part, ask, **asked):
    try:
        ask(**asked)
    except kind as error:
        assert part in error.message, error.message
        return error.param, error.code
    sys.exit(f"taken: {asked}")
usual = {"model": "tiny", "prompt": [5]}
bad = openai.BadRequestError
assert refused(bad, "is not served", complete, **usual, temperature=0.7) == ("temperature", "unsupported_value")
assert refused(bad, "maximum context length is 200000", complete, **usual, max_tokens=200_000) == ("prompt", "context_length_exceeded")
assert refused(openai.NotFoundError, "served here is 'tiny'", complete, model="other", prompt=[5]) == ("model", "model_not_found")
assert refused(openai.NotFoundError, "served here is 'tiny'", client.models.retrieve, model="other") == ("model", "model_not_found")
refused(bad, "give the prompt as an array of token ids", complete, model="tiny", prompt="text")
refused(bad, "no template of chats", chat, model="tiny", messages=[{"role": "user", "content": "hi"}])
refused(openai.APIStatusError, "bytes are taken", complete, model="tiny", prompt=[1] * 4_000_000)
refused(openai.InternalServerError, "no kernel for this", complete, model="tiny", prompt=[13])
try:
    list(complete(model="tiny", prompt=[13], stream=True))
    sys.exit("taken")
except openai.APIError as error:
    assert "no kernel for this" in error.message, error
print("all answered")
"""
WITH_TOKENIZER = """
answer = complete(model="tiny", prompt="w5 w6", max_tokens=3)
assert (answer.choices[0].text, answer.usage.prompt_tokens) == (" w7 w8 w9", 2), answer
assert complete(model="tiny", prompt=["w5 w6"], max_tokens=3).choices[0].text == " w7 w8 w9"
streamed = list(complete(model="tiny", prompt="w5 w6", max_tokens=3, stream=True))
assert [each.choices[0].text for each in streamed] == [" w7", " w8", " w9", ""], streamed
ended = complete(model="tiny", prompt="w9", max_tokens=30)
assert (ended.choices[0].text, ended.choices[0].finish_reason, ended.usage.completion_tokens) == (" w10 w11", "stop", 3), ended
for stream in (False, True):
    stopped = complete(model="tiny", prompt="w11", max_tokens=100_000, stop=["w14"], stream=stream)
    choices = [each.choices[0] for each in stopped] if stream else stopped.choices
    assert ("".join(choice.text for choice in choices), choices[-1].finish_reason) == (" w12 w13 ", "stop"), choices
messages = [{"role": "user", "content": "w5 w6"}]
answer = chat(model="tiny", messages=messages, max_completion_tokens=2)
said = answer.choices[0].message
assert (said.role, said.content, answer.usage.prompt_tokens) == ("assistant", " w21 w22", 3), answer
streamed = list(chat(model="tiny", messages=messages, max_tokens=2, stream=True))
assert "".join(each.choices[0].delta.content or "" for each in streamed) == " w21 w22", streamed
assert (streamed[0].choices[0].delta.role, streamed[-1].choices[0].finish_reason) == ("assistant", "length")
try:
    chat(model="tiny", messages=[{"role": "system", "content": "w5"}])
    sys.exit("taken")
except openai.BadRequestError as error:
    assert "users alone speak here" in error.message, error
print("all answered")
"""


def by_openai(served: Served, program: str) -> None:
    """Run a program with OpenAI's own client, in a process of its own."""
    pytest.importorskip("openai", reason="openai is not installed -> pip install openai")
    command = [sys.executable, "-c", OPENAI + program, f"http://{served.host}:{served.port}/v1"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert (0, "all answered\n") == (done.returncode, done.stdout), done.stderr


def test_openais_client_is_answered_in_numbers(serve: Serve) -> None:
    by_openai(serve(), WITHOUT_TOKENIZER)


@pytest.mark.usefixtures("tokenizer")
def test_openais_client_is_answered_in_texts(serve: Serve) -> None:
    by_openai(serve(), WITH_TOKENIZER)


def test_curl_is_answered(serve: Serve) -> None:
    """Events come one by one, and end with the word that ends them."""
    if (curl := shutil.which("curl")) is None:
        pytest.skip("curl is not installed -> apt-get install curl")
    served = serve()
    asked = json.dumps({"model": "tiny", "prompt": [1], "max_tokens": 2, "stream": True})
    command = [curl, "-sSN", "-d", asked, f"http://{served.host}:{served.port}/v1/completions"]

    said = subprocess.run(command, capture_output=True, timeout=60, check=True, text=True).stdout

    *events, done, _ = said.split("\n\n")
    assert [[2], [3], []] == [json.loads(each.removeprefix("data: "))["choices"][0]["token_ids"] for each in events]
    assert "data: [DONE]" == done


def test_what_is_unknown_or_malformed_is_refused_in_openais_words(serve: Serve) -> None:
    served = serve()
    found = [
        served.ask("POST", "/v1/completions", b"rubbish"),
        served.ask("POST", "/v1/completions", b""),
        served.ask("POST", "/v1/completions", b"{}", Content_Encoding="gzip"),
        served.ask("GET", "/v1/completions"),
        served.ask("POST", "/v1/embeddings", b"{}"),
        served.ask("GET", "/v1/models/other"),
    ]

    assert [400, 400, 415, 405, 404, 404] == [status for status, _, _ in found]
    for _, _, body in found:
        error = json.loads(body)["error"]
        assert ({"message", "type", "param", "code"}, "invalid_request_error") == (error.keys(), error["type"])
    assert "POST" == found[3][1]["allow"]
    assert (200, {"status": "ready"}) == (served.ask("GET", "/health")[0], json.loads(served.ask("GET", "/health")[2]))
    assert served.is_well()


def test_fewer_tokens_than_the_models_can_be_served(serve: Serve) -> None:
    served = serve("--context", "10")

    status, answer = served.complete([1, 2, 3], max_tokens=8)
    assert (400, "context_length_exceeded") == (status, answer["error"]["code"])
    assert 200 == served.complete([1, 2, 3], max_tokens=7)[0]


def test_a_client_that_goes_away_ends_its_text(serve: Serve) -> None:
    """Streamed or not: it would go on for half an hour."""
    served = serve(WAIT_S=0.2)
    with closing(served.begin()):
        assert not served.is_well()
    served.get_well()
    with closing(served.send()):
        while served.is_well():  # until it has been read
            pass
    served.get_well()


@pytest.mark.slow
def test_a_client_that_does_not_read_is_let_go(serve: Serve) -> None:
    served = serve(READ_S=0.5)
    client = served.begin(prompt=[1], max_tokens=150_000)
    served.get_well()
    said = ended(client)  # what was sent before it was let go

    assert b"[DONE]" not in said
    assert served.is_well()


def test_texts_wait_in_order_and_not_for_ever(serve: Serve) -> None:
    served = serve(WAIT_S=0.2, MOST_WAITING=1)
    served.begin()
    status, answer = served.complete([1])
    assert (503, "server_error") == (status, answer["error"]["type"])
    assert "the model was busy for 0.2 s" in answer["error"]["message"]
    served = serve(MOST_WAITING=0)
    assert (503, "overloaded") == ((answer := served.complete([1]))[0], answer[1]["error"]["code"])


def test_a_text_that_takes_too_long_is_ended(serve: Serve) -> None:
    served = serve(GENERATION_S=0.1)

    status, answer = served.complete([SLOW], max_tokens=190_000)
    assert (503, True) == (status, "not complete after 0.1 s" in answer["error"]["message"])
    assert b"not complete after 0.1 s" in until(served.send(stream=True), b"[DONE]")
    assert served.is_well()


def test_a_stream_is_finished_before_it_ends(serve: Serve) -> None:
    """SIGTERM: a text that is nearly there is given whole."""
    served = serve()
    client = served.begin(max_tokens=60)
    served.process.send_signal(signal.SIGTERM)
    said = ended(client)

    assert 0 == served.process.wait(timeout=60)
    assert b'"finish_reason":"length"' in said
    assert b"data: [DONE]\n\n" in said


def test_a_stream_that_would_not_end_in_time_is_told(serve: Serve) -> None:
    """SIGTERM: what waits is told too, and the process ends although texts would go on for half an hour."""
    served = serve(ENDING_S=0.5)
    client, waiting = served.begin(), served.send()
    for _ in range(3):  # by then it has been read
        assert 200 == served.ask("GET", "/health")[0]
    served.process.send_signal(signal.SIGTERM)
    said, refused = ended(client), ended(waiting)

    assert 0 == served.process.wait(timeout=60)
    assert b"the server is ending: ask again" in said
    assert (b"HTTP/1.1 503", True) == (refused[:12], b"the server is ending: ask again" in refused)
