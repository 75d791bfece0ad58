"""The documentation says what the code does."""

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.steps.__main__ import written
from fixtures.steps.optimizations import ON_DEMAND, catalogue
from fixtures.steps.recipe import may_be_left_out
from reports.__main__ import command_parser
from reports.commands import MODULE

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))
BEGINS_WITH_OF = re.compile(r'(?:^ *|[.:?;)!] |"""|# |\| |\*\*|- |> )(Of [a-z]+ [a-z]+)', re.MULTILINE)
A_PATTERN = re.compile(r"[\[|…]|\bWORD\b")  # of a command, such as `[RUN]`, and not one to type


def test_every_step_is_documented_as_it_is() -> None:
    """The names and what each builds on are a contract: they stand in saved runs."""
    page = (DOCS / "steps.md").read_text()

    assert written(page) == page, "docs/steps.md is written by: python -m fixtures.steps"
    assert len(catalogue()) == len(re.findall(r"^\| `\w+` \|", page, re.MULTILINE))


def commands(page: Path) -> Iterator[str]:
    """Every command of `python -m reports` that a page shows, without its comment and its redirection."""
    for in_line, in_block in re.findall(rf"`({MODULE} [^`\n]+)`|^ {{4}}({MODULE} [^\n]+)$", page.read_text(), re.MULTILINE):
        command = re.split(r" [#>] ", in_line or in_block)[0]
        if not A_PATTERN.search(command):
            yield command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_can_be_typed(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands(page):
        try:
            command_parser(MODULE).parse_args(shlex.split(command.removeprefix(MODULE)))
        except SystemExit:
            pytest.fail(f"{page.name}: {command}: {capsys.readouterr().err}")


def test_every_command_is_on_the_page_of_commands() -> None:
    shown = {command.removeprefix(MODULE).split()[0] for command in commands(DOCS / "commands.md")} | {"completion", "doctor"}
    [subcommands] = [action.choices for action in command_parser(MODULE)._actions if isinstance(action, argparse._SubParsersAction)]

    assert shown >= set(subcommands)


def named_between(text: str, begin: str, end: str) -> set[str]:
    """The steps that a page names there."""
    return set(re.findall(r"`(\w+)`", text.partition(begin)[2].partition(end)[0])) & set(catalogue())


def test_the_page_of_measuring_names_what_may_be_left_out_and_what_is_quick() -> None:
    """Step by step; both follow from the catalogue."""
    steps, page = catalogue(), (DOCS / "measuring.md").read_text()
    quick = {name for name, step in steps.items() if step.in_quick and step.family not in ON_DEMAND}

    assert named_between(page, "- *Which steps*:", "A runtime, a batch") == {name for name in steps if may_be_left_out(name, steps)}
    assert named_between(page, "**`--quick`**", "Where") == quick


def anchors(page: Path) -> set[str]:
    """What a link into a page can name: its headings, as GitHub writes them, and its own ids."""
    text = page.read_text()
    headings = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings} | set(
        re.findall(r'id="([^"]+)"', text)
    )


def test_no_sentence_begins_with_of() -> None:
    """Subject, verb, object (CONTRIBUTING.md)."""
    folders = ("fixtures", "reports", "benchmarks", "docs", "tests")
    texts = [*ROOT.glob("*.md"), *(file for top in folders for file in (ROOT / top).rglob("*") if file.suffix in {".py", ".md"})]

    assert [] == [f"{file.name}: {found}" for file in texts for found in BEGINS_WITH_OF.findall(file.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_another_page_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, anchor = link.partition("#")
        if "://" not in link:
            target = page.parent / file if file else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_every_claim_of_the_evidence_names_a_test_that_is_there() -> None:
    """The last column of the table of claims."""
    rows = [line.split(" | ") for line in (DOCS / "evidence.md").read_text().splitlines() if line.startswith("| ") and "`test_" in line]
    named = {name for row in rows for name in re.findall(r"`(test_\w+)`", row[-1])}
    there = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }

    assert len(rows) > 20
    assert set() == named - there
