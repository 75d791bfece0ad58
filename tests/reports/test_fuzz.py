"""Saved runs that nobody wrote: each is read or refused by a sentence, and what is shown of it stays text."""

import contextlib
import io
import re
import tempfile
from pathlib import Path

from hypothesis import strategies as st

from reports.__main__ import main
from reports.saved.load import UnreadableRun, read_brief, read_run
from tests.fuzzing import MANY, as_json, check, damaged, few_or_many, texts, torn
from tests.reports.html import parse
from tests.reports.test_page import SCRIPTS, hostile_run
from tests.reports.test_render import HOSTILE

TEXTS = texts(12) | st.sampled_from([*HOSTILE[:-1], *SCRIPTS[:-1]])
NAMES = [*HOSTILE[:-1], *SCRIPTS[:-1]]
RUNS = st.one_of([damaged(hostile_run(name), TEXTS) for name in NAMES])
FILES = torn(RUNS.map(as_json)) | st.binary(max_size=100)


def check_that_it_is_read_or_refused(content: bytes) -> None:
    """By both readers, and the refusal names the file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "0001_run.json")
        file.write_bytes(content)
        for read in (read_run, read_brief):
            try:
                run = read(file)
            except UnreadableRun as refused:
                said = str(refused)
                assert str(file) in said
            else:
                assert run.measurements or run.outcomes or run.notes


@few_or_many(200)
def test_a_file_is_read_or_refused(number: int) -> None:
    check(check_that_it_is_read_or_refused, FILES, number)


def shown(content: bytes, *arguments: str) -> str:
    """What a command prints of a saved run; a traceback is an error of the test."""
    said, errors = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
        file = Path(folder, "0001_run.json")
        file.write_bytes(content)
        command, *options = arguments
        code = main([command, str(file), "--storage", folder, *options])
        assert code in {0, 2}
        assert code == 0 or errors.getvalue().strip(), "refused without a word"
    return said.getvalue()


def check_that_it_is_shown_as_text(content: bytes) -> None:
    """As a table of the terminal, and as Markdown."""
    for line in shown(content, "ladder").splitlines():
        assert all(character.isprintable() for character in line), ascii(line)
    markdown = shown(content, "ladder", "--format", "markdown")
    for mark in ("<script", "<img", "@everyone", "://e", "\x1b", "\u202e", "](j"):
        assert mark not in markdown
    shown(content, "ladder", "--format", "json")
    shown(content, "show")


@few_or_many(20, MANY // 10)
def test_a_run_is_shown_as_text(number: int) -> None:
    check(check_that_it_is_shown_as_text, RUNS.map(as_json), number)


def check_that_the_page_is_inert(content: bytes) -> None:
    """One script, which is the page's own; tags are nested and closed; nothing loads or handles anything."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "page.html")
        shown(content, "page", "--out", str(out))
        if not out.exists():
            return
        text = out.read_text()
    page = parse(text)
    assert 1 == len(page.all("script"))
    assert not page.all("img", "iframe", "object", "link", "base", "foreignobject")
    handlers = [
        name for element in page.all() for name in element.attributes if name.startswith("on") or name in {"style", "src", "action"}
    ]
    assert [] == handlers
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x00-\x08\x0b-\x1f\x7f]", text)


@few_or_many(8, MANY // 50)
def test_a_page_is_inert(number: int) -> None:
    check(check_that_the_page_is_inert, RUNS.map(as_json), number)
