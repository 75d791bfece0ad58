"""What a deployment that generates text has beside others: how much text its model takes, its tokenizer, and how it is asked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fixtures.protocol import ModelSpec
from reports.commands.measuring import CannotMeasure
from reports.deploy.contents import PORT, whole_readme
from reports.deploy.emitted.generation.chat_template import FAILURES, ChatTemplate, Declined
from reports.text.plain_text import plain

USUAL_CONTEXT = 2048  # of models that name no number of positions
PACKAGES = ("tokenizers", "jinja2")  # what makes tokens of texts and of chats
TEXT, TOKENS = "Once upon a time", [1, 2, 3]

README = """\
It serves by OpenAI's API. OpenAI's client (`pip install openai`) and any HTTP client talk to it:

    from openai import OpenAI
    client = OpenAI(base_url="http://localhost:{port}/v1", api_key="none")
    for event in client.completions.create(model="{model}", prompt={prompt}, max_tokens=64, stream=True):
        print({shown}, end=" ", flush=True)

    curl localhost:{port}/v1/completions -H 'Content-Type: application/json' -d \\
        '{{"model": "{model}", "prompt": {prompt_in_json}, "max_tokens": 16}}'

In your own program (started by `./run.sh PROGRAM`, so that the environment is in force):

    from model import load
    model = load()
    tokens = list(model.generate([1, 2, 3], 64))

- Each token is the one of highest logit: another temperature than 0 is refused. {prompts}
- A prompt and what follows it have at most {context} tokens together; `./run.sh --context TOKENS` takes fewer.
- One text is generated at a time for each worker, others wait in order.
- It has no TLS and no passwords. Put a proxy in front where programs other than your own reach it.
"""


@dataclass(frozen=True, kw_only=True)
class Language:
    """A causal language model as it is served: its tokens, those that end a text, its config, and its tokenizer, None without one.

    The config is JSON, the tokenizer an object, as transformers has them.
    """

    context: int
    vocabulary: int
    ends: tuple[int, ...]
    config: str
    tokenizer: Any = None

    @property
    def packages(self) -> tuple[str, ...]:
        """The distributions that its tokenizer needs."""
        return () if self.tokenizer is None else PACKAGES

    @property
    def template(self) -> str | None:
        """The template of chats; of several the usual one."""
        found = getattr(self.tokenizer, "chat_template", None)
        chosen = found.get("default") if isinstance(found, dict) else found
        return None if chosen is None else str(chosen)

    @property
    def special(self) -> dict[str, str]:
        """The special tokens that the template knows by name."""
        return {name: str(token) for name, token in self.tokenizer.special_tokens_map.items() if isinstance(token, str)}

    def check_template(self, model: str) -> None:
        """Render a message as the deployment does. Raises CannotMeasure where that fails, but not where the template declines it."""
        if self.template is None:
            return
        try:
            ChatTemplate(self.template, self.special).text([{"role": "user", "content": TEXT}])
        except Declined:
            return
        except FAILURES as error:
            raise CannotMeasure(
                f"{model} has a template of chats that cannot be rendered ({type(error).__name__}: {plain(error, 200)}): mend it, or take "
                "it out of the model's folder (chat_template.jinja, or chat_template in tokenizer_config.json) to serve completions alone"
            ) from error

    def write(self, folder: Path) -> None:
        """Write the tokenizer, and what the template of chats needs, into a new folder; nothing where there is none."""
        if self.tokenizer is None:
            return
        folder.mkdir()
        (folder / "tokenizer.json").write_text(self.tokenizer.backend_tokenizer.to_str())
        if self.template is not None:
            (folder / "chat.json").write_text(json.dumps({"template": self.template, "special": self.special}, indent=1) + "\n")

    def data(self) -> dict[str, Any]:
        """Return what the deployment's model reads."""
        return {"context": self.context, "vocabulary": self.vocabulary, "ends": list(self.ends)}


def language_of(spec: ModelSpec) -> Language:
    """Return what is known of the causal language model by its config, and by the tokenizer that lies beside that. Raises ModelError."""
    from fixtures.models import TRANSFORMERS, source_of
    from fixtures.models.transformers_models import config_of

    if source_of(spec.name) != TRANSFORMERS:
        raise CannotMeasure(
            f"{spec.name} is built by code of its own, and deployments that generate text are written for models of transformers: save it "
            "with model.save_pretrained(...), and measure the folder"
        )
    config, folder = config_of(spec)
    described = config.get_text_config(decoder=True)
    tokenizer = None if folder is None else _tokenizer(spec, folder)
    positions = getattr(described, "max_position_embeddings", None) or 0
    found = Language(
        context=positions if positions > 0 else max(USUAL_CONTEXT, spec.longest),
        vocabulary=int(described.vocab_size),
        ends=() if tokenizer is None or folder is None else _ends(tokenizer, described, folder),
        config=_config_text(config),
        tokenizer=tokenizer,
    )
    found.check_template(spec.name)
    return found


def _config_text(config: Any) -> str:
    """Return the config as a model's folder has it, without the place that it was read from."""
    described = json.loads(config.to_json_string(use_diff=False))
    described.pop("_name_or_path", None)
    return json.dumps(described, indent=1) + "\n"


def _tokenizer(spec: ModelSpec, folder: Path) -> Any:
    """Return the tokenizer of the model's folder; None where the folder has none, or none that the tokenizers library can take."""
    from fixtures.models.quiet import quiet
    from fixtures.models.transformers_models import TOKENIZERS
    from fixtures.tasks.texts import tokenizer

    if not any(any(folder.glob(pattern)) for pattern in TOKENIZERS):
        return None
    with quiet():
        found = tokenizer(spec)
    return found if getattr(found, "backend_tokenizer", None) is not None else None


def _ends(tokenizer: Any, described: Any, folder: Path) -> tuple[int, ...]:
    """Return the tokens that end a text by the tokenizer, by the config, and by the folder's own defaults of generation."""
    file = folder / "generation_config.json"
    try:
        found = json.loads(file.read_text()) if file.is_file() else {}
    except ValueError:
        found = {}
    by_default = found.get("eos_token_id") if isinstance(found, dict) else None
    named = [tokenizer.eos_token_id, described.eos_token_id, by_default]
    flat = [token for each in named for token in (each if isinstance(each, list) else [each])]
    return tuple(sorted({token for token in flat if isinstance(token, int) and 0 <= token < described.vocab_size}))


def readme(deployment: dict[str, Any], language: Language, sentence: str, figures: str, packages: tuple[str, ...]) -> str:
    """Return the README of a deployment that generates text."""
    has_texts = language.tokenizer is not None
    prompts = "Prompts are texts or arrays of token ids." if has_texts else "The model has no tokenizer: prompts are arrays of token ids."
    if has_texts:
        prompts += f" Chats are {'taken' if language.template else 'not taken, as it has no template of them'}."
    middle = README.format(
        model=plain(deployment["model"]),
        port=PORT,
        prompt=repr(TEXT) if has_texts else TOKENS,
        prompt_in_json=json.dumps(TEXT if has_texts else TOKENS),
        shown="event.choices[0].text" if has_texts else "*event.choices[0].token_ids",
        prompts=prompts,
        context=language.context,
    )
    return whole_readme(middle, deployment, sentence, figures, packages, reach="decode at the recorded rate")
