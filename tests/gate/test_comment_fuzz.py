"""Whatever a pull request leaves behind as a gate's result, the comment on it holds text, headings, lists and tables, and nothing else."""

import io
import re
import zipfile

import pytest
from hypothesis import strategies as st

from reports.gate_comment import LONGEST_COMMENT, comment, markdown_of, trusted
from tests.fuzzing import check, few_or_many, texts, torn

PIECES = [
    *(
        "@team",
        "&#64;",
        "&amp;",
        "&lt;",
        "<img src=x>",
        "<!-- gate",
        "<!-- -->",
        "-->",
        "https",
        "://",
        "www.evil.example",
        "](",
        "[x]",
        "![",
    ),
    *("`", "```", "|", "| ", " | ", " |", "|-|", "|:-:|", "### ", "# ", "- ", "+ ", "1. ", "\\", "\\\\", "$", "~~", "^", "***", "___"),
    *("\n", "\r", "\x0b", "\u2028", "\x1b[31m", "\u202e", "\u200b", "#123", "GH-1", "c0ffee" * 7, "user@host.example", "javascript:", "ok"),
]
MARKDOWN = st.lists(st.sampled_from(PIECES) | texts(6), max_size=25).map("".join)
ENTITIES = re.compile("&(amp|lt|gt);")
ESCAPED = re.compile(r"\\[\\`*_{}\[\]()#+.!|~$^-]")
RULE = re.compile(r"\|(:?-+:?\|)+")
FIGURES = re.compile(r"[-+.,%x\d ]+(to [\d.]+)?(\[[-+\d.,e ]+\])?( \(max of \d+\))?")


def is_inert(line: str) -> bool:
    """Whether GitHub shows a line as it is, but for one heading, one list or one row of a table."""
    if RULE.fullmatch(line):
        return True
    if not all(character.isprintable() for character in line) or re.search("@(?!<!-- -->)|:(?!<!-- -->)//", line):
        return False
    if line.startswith("| ") and line.endswith(" |"):
        line = " ".join(cell for cell in line[2:-2].split(" | ") if not FIGURES.fullmatch(cell))
    else:
        line = re.sub("^(### |- )", "", line)
    if re.search(r"#\d|\bGH\\-\d", line, re.IGNORECASE):
        return False
    line = re.sub(r"(#|\bGH)<!-- -->", r"\1", line, flags=re.IGNORECASE)
    rest = ESCAPED.sub("", ENTITIES.sub("", line.replace("@<!-- -->", "").replace(":<!-- -->//", "")))
    return not re.search(r"[\\`*_{}\[\]()#+.!|~$^<>&-]", rest)


def check_that_it_is_inert(markdown: str) -> None:
    """Line by line; and what was made inert once stays as it is."""
    shown = trusted(markdown)

    assert [] == [line for line in shown.split("\n") if not is_inert(line)]
    assert shown.rstrip("\n") == trusted(shown).rstrip("\n")


@few_or_many(1000)
def test_a_result_becomes_inert(number: int) -> None:
    check(check_that_it_is_inert, MARKDOWN, number)


@pytest.mark.parametrize(
    "line",
    ["@team", "<b>", "[x](y)", "https://e.example", "a | b", "## x", "a\\", "&#64;", "\\#64", "GH\\-1", "\x1b", "**x**", "| [1](max) |"],
)
def test_the_check_finds_what_is_not_inert(line: str) -> None:
    assert not is_inert(line)


@st.composite
def artifacts(draw: st.DrawFn) -> bytes:
    """Archives in each compression, with a gate.md of any bytes."""
    packed = io.BytesIO()
    method = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr(
            draw(st.sampled_from(["gate.md", "gate.md", "other"])), draw(MARKDOWN.map(lambda text: text.encode(errors="replace") * 3))
        )
    return packed.getvalue()


def check_that_it_is_read_or_told(packed: bytes) -> None:
    """A damaged archive is one sentence in the comment, never a red job."""
    body = comment({"c8g": markdown_of(packed)}, "https://github.com/o/r/actions/runs/42", "c0ffee")

    assert len(body) < LONGEST_COMMENT + 1000


@few_or_many(300)
def test_an_archive_is_read_or_told(number: int) -> None:
    check(check_that_it_is_read_or_told, torn(artifacts()), number)
