"""The emulation's own parts, without emulating anything: set-up that survives interruption, clear refusals, the page."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from emulation import __main__ as command
from emulation import debian, guest, page, root
from emulation.debian import SetupError
from fixtures.bench.proofs import Proofs
from fixtures.generation.torch_weights import EVEN_ROWS, GROUP
from tests.processes import ended


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; the set-up makes a single file."""
    monkeypatch.setenv(root.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(debian, "architecture", lambda: "amd64")
    monkeypatch.setattr(root, "_make", lambda folder: (folder / "made").touch())
    return tmp_path / "cache"


def test_a_root_is_made_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run finds it."""
    made = root.cached_root()
    monkeypatch.setattr(root, "_make", lambda folder: pytest.fail("made again"))

    assert made == root.cached_root()
    assert (made / "made").exists()


def test_an_interrupted_set_up_is_not_taken_for_a_root(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it left is removed by the next one."""

    def interrupted(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(root, "_make", interrupted)
        with pytest.raises(KeyboardInterrupt):
            root.cached_root()
    made = root.cached_root()

    assert [made] == [folder for folder in cache.iterdir() if folder.is_dir()]
    assert not (made / "half").exists()


def test_another_recipe_is_another_root(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new version of a wheel never meets an old root."""
    first = root.cached_root()
    here = tmp_path / "emulation"
    here.mkdir()
    for name in ("root.py", "debian.py", "requirements.txt"):
        (here / name).write_bytes((root.HERE / name).read_bytes() + b"\n")
    monkeypatch.setattr(root, "HERE", here)

    assert first != root.cached_root()


def test_the_mirror_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """For machines that are no Debian."""
    monkeypatch.setenv(debian.MIRROR_VARIABLE, "http://mirror.invalid/debian")

    assert "http://mirror.invalid/debian" == debian.mirror()


@pytest.mark.parametrize("targets", ["bookworm-security main S\nbookworm contrib C\nbookworm main M", "stable main M"])
def test_the_mirror_is_the_machines_own(monkeypatch: pytest.MonkeyPatch, targets: str) -> None:
    """The one source that has Debian's main archive."""
    monkeypatch.delenv(debian.MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(debian, "_os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"})
    monkeypatch.setattr(debian, "run", lambda *_: targets)

    assert "M" == debian.mirror()


def test_a_machine_that_is_no_debian_is_told_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another distribution's mirror has no such packages."""
    monkeypatch.delenv(debian.MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(debian, "_os_release", lambda: {"ID": "fedora", "PRETTY_NAME": "Fedora Linux 44"})

    with pytest.raises(SetupError, match=r"Fedora Linux 44.*name a Debian mirror in GRAVITON_MIRROR"):
        debian.mirror()


def test_a_failed_command_is_told_with_its_output() -> None:
    """The last lines say why."""
    with pytest.raises(SetupError, match=r"(?s)listing ended with status \d+:.*no-such-folder"):
        debian.run(["ls", "/no-such-folder"], "listing")


def test_where_nothing_may_be_mounted_the_reasons_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in were tried."""
    monkeypatch.setattr(guest, "_try", lambda command: "not permitted")

    with pytest.raises(SetupError, match=r"\(as this user: not permitted; as root: not permitted\). Run on Linux 6.7"):
        guest._unshare()


def test_what_runs_emulated_ends_with_the_command_however_that_ends() -> None:
    """A killed run leaves no worker behind."""
    guests = f"import subprocess; subprocess.run([*{guest.ENDS_WITH_US}, 'sh', '-c', 'echo $$; exec sleep 600'])"
    with subprocess.Popen([sys.executable, "-c", guests], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        pid = int(command.stdout.readline())
        command.kill()

    assert ended(pid)


def test_the_page_says_what_the_kept_proofs_say() -> None:
    """It is written from them and never by hand."""
    assert page.PAGE.read_text() == page.render(page.kept())


def test_all_generations_are_on_the_page() -> None:
    """Each from a run that tried every step on both models."""
    kept = page.kept()
    [tried] = {tuple((step.model, step.step) for step in proofs.steps) for proofs in kept.values()}

    assert list(page.GENERATIONS) == list(kept)
    assert len(tried) == 50


def test_without_a_mirror_it_is_skipped_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As .ci/run asks, so that its other parts count on Ubuntu, too; a machine that has a mirror skips nothing."""
    monkeypatch.delenv(debian.MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(debian, "architecture", lambda: "amd64")
    monkeypatch.setattr(debian, "_os_release", lambda: {"ID": "ubuntu", "PRETTY_NAME": "Ubuntu 24.04"})
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(command, "_run", lambda _options: 7)
    words = ["python -m emulation", "graviton3"]
    monkeypatch.setattr(sys, "argv", [*words, "--skip-without-mirror"])
    assert 0 == command.main()
    assert "skipped: this machine (Ubuntu 24.04) has no source of Debian's main archive" in capsys.readouterr().out

    monkeypatch.setattr(sys, "argv", words)
    assert 7 == command.main()
    monkeypatch.setattr(sys, "argv", [*words, "--skip-without-mirror"])
    monkeypatch.setenv(debian.MIRROR_VARIABLE, "https://mirror.example/debian")
    assert 7 == command.main()


def test_a_point_of_generation_takes_the_place_of_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its model is a folder of this checkout, whose path makes one file's name."""
    told: list[list[str]] = []

    def prove(words: list[str], _graviton: str) -> int:
        told.append(words)
        if "--proofs" in words:
            Proofs(fingerprint={}, image_size=32, batch_size=1, steps=[]).write(tmp_path / words[words.index("--proofs") + 1])
        return 0

    monkeypatch.setattr(guest, "CHECKOUT", tmp_path)
    monkeypatch.setattr(root, "cached_root", lambda: tmp_path)
    monkeypatch.setattr(command, "_pytest", prove)
    monkeypatch.setattr(sys, "argv", ["python -m emulation", "graviton3", "--generation", "decode-8x1", "--step", "generate"])
    assert 0 == command.main()
    proving, tests = told

    assert ["benchmarks/", "--model", command.GENERATING, "--generation", "decode-8x1", "--step", "generate"] == proving[:7]
    assert "--image-size" not in proving
    assert "graviton3/part/transformers.emulation.llama.json" in proving[proving.index("--proofs") + 1]
    assert "tests/arm" == tests[0]


def test_a_session_that_is_killed_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a kernel without memory: the worst of all statuses counts, and a signal is told as a negative number."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(guest, "run", lambda _command, _cpu: -9)

    assert 137 == command._arm(["true"], "graviton3")


def test_the_model_that_generates_has_sizes_for_weights_of_4_bits() -> None:
    """Else every step with 4 bits would be skipped, and nothing would be proved of it."""
    folder = Path(command.__file__).parent / command.GENERATING.partition("emulation/")[2]
    config = json.loads((folder / "config.json").read_text())

    inputs = [config[name] for name in ("hidden_size", "intermediate_size")]
    narrowest = config["hidden_size"] // config["num_attention_heads"] * config["num_key_value_heads"]
    assert [0, 0] == [size % GROUP for size in inputs]
    assert [0, 0, 0, 0] == [size % EVEN_ROWS for size in (*inputs, config["vocab_size"], narrowest)]
