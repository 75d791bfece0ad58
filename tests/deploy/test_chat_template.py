"""A chat's text by the template of its model, as the emitted server makes it, and what `--emit` makes of a template that fails."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from reports.commands.measuring import CannotMeasure
from reports.deploy.emitted.generation.chat_template import ChatTemplate, Declined
from reports.deploy.language import Language

MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
SPECIAL = {"bos_token": "<s>"}
RENDERED = {
    "{{ bos_token }}{% for each in messages %}{{ each.content }}{% if not loop.last %}, {% endif %}{% endfor %}": "<s>hi, yes",
    "{% if add_generation_prompt %}>{% endif %}": ">",
    "{% for each in messages %}{% generation %}{{ each.content }}{% endgeneration %}{% endfor %}": "hiyes",
    "{% set said = 1 %}{%- generation -%} {% set said = 2 %}{{ said }} {%- endgeneration %}\n{{ said }}": "21",
    "{{ messages[:1] | tojson }}": '[{"role": "user", "content": "hi"}]',
    '{{ messages[:1] | tojson(separators=(",", ":"), sort_keys=true) }}': '[{"content":"hi","role":"user"}]',
    "{{ 'é<' | tojson }}{{ 'é' | tojson(ensure_ascii=true) }}": '"é<""\\u00e9"',
    "{{ dict(a=1) | tojson }}{{ dict.fromkeys('ab', 0) | tojson }}": '{"a": 1}{"a": 0, "b": 0}',
    "{% for each in messages %}{% if loop.last %}{% break %}{% endif %}{{ each.role }}{% endfor %}": "user",
}
BY_TRANSFORMERS = """
import json, sys
from transformers.utils.chat_template_utils import render_jinja_template
messages, special, templates = map(json.loads, sys.argv[1:])
made = [render_jinja_template([messages], chat_template=each, add_generation_prompt=True, **special)[0][0] for each in templates]
print(json.dumps(made))
"""


@pytest.mark.parametrize(("template", "text"), RENDERED.items())
def test_a_chat_is_rendered(template: str, text: str) -> None:
    assert text == ChatTemplate(template, SPECIAL).text(MESSAGES)


@pytest.mark.slow
def test_a_chat_is_what_transformers_makes_of_it() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed -> pip install transformers")
    command = [sys.executable, "-c", BY_TRANSFORMERS, *map(json.dumps, (MESSAGES, SPECIAL, list(RENDERED)))]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    assert list(RENDERED.values()) == json.loads(done.stdout.splitlines()[-1])


def test_a_template_declines_messages_in_its_own_words() -> None:
    with pytest.raises(Declined, match="users alone speak here"):
        ChatTemplate("{{ raise_exception('users alone speak here') }}", {}).text(MESSAGES)


def language(template: str | None) -> Language:
    """A model with this template beside its tokenizer."""
    tokenizer = SimpleNamespace(chat_template=template, special_tokens_map=SPECIAL | {"additional_special_tokens": ["<a>"]})
    return Language(context=8, vocabulary=8, ends=(), config="{}", tokenizer=tokenizer)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% nonsense %}", "TemplateSyntaxError: Encountered unknown tag 'nonsense'"),
        ("{{ messages | no_such_filter }}", "TemplateAssertionError: No filter named 'no_such_filter'"),
        ("{{ messages[7].content.strip() }}", "UndefinedError: "),
        ("{% break %}", "SyntaxError: 'break' outside loop"),
        ("{{ messages[0].content + 1 }}", "TypeError: "),
    ],
)
def test_a_template_that_cannot_be_rendered_is_refused_before_it_is_emitted(template: str, why: str) -> None:
    """The server would end when it starts, or refuse every chat."""
    with pytest.raises(CannotMeasure, match="mend it, or take it out of the model's folder") as refused:
        language(template).check_template("transformers:m")

    assert str(refused.value).startswith(f"transformers:m has a template of chats that cannot be rendered ({why}")


@pytest.mark.parametrize("template", [None, *RENDERED, "{{ raise_exception('a system message comes first') }}"])
def test_other_templates_are_emitted(template: str | None) -> None:
    language(template).check_template("transformers:m")
