"""The page in a real browser: mouse, keyboard, narrow windows, themes, print, no scripts, and hostile names."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reports.__main__ import main
from tests.reports.browser import chromium, complaints, resize, run, show
from tests.reports.saved_runs import FINGERPRINT, benchmark, calls, ladder, outcome, save, saved_run
from tests.reports.test_page import SCRIPTS, hostile_run
from tests.reports.test_render import HOSTILE

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

STEPS = ("baseline", "batch_8", "channels_last", "compile")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Chrome]":
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of two models, one of them on another machine: every section is there."""
    storage = tmp_path_factory.mktemp("storage")
    for number in (1, 2, 3):
        steps = [*ladder(*STEPS), *ladder(*STEPS, model="vit", first_s=0.5)]
        steps += [benchmark("openvino", family="openvino", medians_s=(0.2, 0.21, 0.22), over="compile", over_medians_s=(0.1, 0.1, 0.1))]
        outcomes = [outcome(step, "measured", model=model) for model in ("resnet50", "vit") for step in STEPS]
        outcomes += [outcome("openvino", "measured")]
        outcomes += [outcome("tcmalloc", "skipped", "libtcmalloc is not installed", "apt-get install libtcmalloc-minimal4")]
        fingerprint = FINGERPRINT | {"vcpus": 64} if number == 1 else FINGERPRINT
        save(storage, number, saved_run(steps, outcomes=outcomes, fingerprint=fingerprint, saved_at=f"2026-11-1{number}T00:00:00+00:00"))
    return written(storage, "1", "2", "3")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, with every hostile name as model, step, family, kernel, reason, commit and machine."""
    storage = tmp_path_factory.mktemp("hostile")
    for number in (1, 2):
        runs = [hostile_run(name) for name in HOSTILE + SCRIPTS]
        whole = runs[-1] | {key: [each for one in runs for each in one[key]] for key in ("benchmarks", "outcomes")}
        whole["machine_info"] = {"fingerprint": FINGERPRINT | {f"field {n}": name for n, name in enumerate(HOSTILE + SCRIPTS)}}
        save(storage, number, whole)
    return written(storage, "1", "2")


def written(storage: Path, *runs: str) -> Path:
    out = storage / "report.html"
    assert 0 == main(["page", *runs, "--out", str(out), "--storage", str(storage)])
    return out


def find(driver: "Chrome", selector: str) -> "WebElement":
    return driver.find_element("css selector", selector)


def rows(driver: "Chrome", table: str = "table.ladder") -> Any:
    """The steps that the first such table shows, from top to bottom."""
    groups = "[...document.querySelector(arguments[0]).tBodies].filter(group => group.checkVisibility())"
    return run(driver, f"return {groups}.map(group => group.querySelector('th').innerText)", table)


def heading(driver: "Chrome", text: str) -> "WebElement":
    return driver.find_element(
        "xpath", f"(//table[contains(@class, 'ladder')])[1]/thead//button[starts-with(normalize-space(.), '{text}')]"
    )


def test_it_opens_without_a_complaint(driver: "Chrome", page: Path) -> None:
    show(driver, page)

    assert [] == complaints(driver)
    assert [*STEPS[:3], "compile best", "openvino", "tcmalloc"] == rows(driver)


def test_a_click_sorts_and_another_turns_it_round(driver: "Chrome", page: Path) -> None:
    show(driver, page)

    heading(driver, "samples/s").click()
    assert ["compile best", "channels_last", "batch_8", "baseline", "openvino", "tcmalloc"] == rows(driver)
    assert "descending" == run(driver, "return document.querySelector('table.ladder th[aria-sort]').getAttribute('aria-sort')")
    heading(driver, "samples/s").click()
    assert ["openvino", "baseline", "batch_8", "channels_last", "compile best", "tcmalloc"] == rows(driver)
    heading(driver, "#").click()
    assert [*STEPS[:3], "compile best", "openvino", "tcmalloc"] == rows(driver)
    assert "sorted by #, ascending" == run(driver, "return document.getElementById('announce').textContent")


def test_every_column_of_every_table_sorts(driver: "Chrome", page: Path) -> None:
    show(driver, page)
    run(driver, "document.querySelectorAll('details').forEach(d => d.open = true)")

    count = run(driver, "const all = [...document.querySelectorAll('thead button')]; all.forEach(b => b.click()); return all.length")
    assert count > 40
    assert [] == complaints(driver)
    assert 6 == len(rows(driver))


def test_the_keyboard_sorts_and_opens_evidence(driver: "Chrome", page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    show(driver, page)
    button = heading(driver, "gain")
    button.send_keys(Keys.ENTER)
    assert "openvino" == rows(driver)[3], "the one that lost comes last of the gains"

    summary = find(driver, "tbody.best .more summary")
    summary.send_keys(Keys.SPACE)
    assert "bf16 kernels: bf16 96 % of kernel time" in find(driver, "tbody.best .evidence").text


def test_the_first_tab_skips_to_the_answer(driver: "Chrome", page: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    show(driver, page)
    ActionChains(driver).send_keys(Keys.TAB).perform()
    assert "Skip to the answer" == driver.switch_to.active_element.text
    ActionChains(driver).send_keys(Keys.ENTER).perform()
    assert run(driver, "return location.hash") == "#answers"


def test_text_family_and_outcome_filter_the_rows(driver: "Chrome", page: Path) -> None:
    from selenium.webdriver.support.select import Select

    show(driver, page)
    find(driver, "#filter-text").send_keys("TCMALLOC installed")
    assert ["tcmalloc"] == rows(driver)
    assert find(driver, "#filter-count").text.startswith("3 of ")
    find(driver, "button[type=reset]").click()
    assert 6 == len(rows(driver))

    Select(find(driver, "#filter-family")).select_by_visible_text("openvino")
    assert ["openvino"] == rows(driver)
    Select(find(driver, "#filter-outcome")).select_by_visible_text("skipped")
    assert [] == rows(driver)
    find(driver, "button[type=reset]").click()
    assert [*STEPS[:3], "compile best", "openvino", "tcmalloc"] == rows(driver)


@pytest.mark.parametrize("kind", ["page", "hostile"])
def test_only_tables_scroll_sideways(driver: "Chrome", request: pytest.FixtureRequest, kind: str) -> None:
    widths = [320, 360, 768, 1100, 1360, 1920]
    show(driver, request.getfixturevalue(kind), width=widths[0])
    run(driver, "document.querySelectorAll('details').forEach(d => d.open = true)")
    found = []
    for width in widths:
        resize(driver, width)
        found.append(run(driver, "return document.documentElement.scrollWidth"))

    assert widths == found


def test_a_ladder_of_few_calls_fits_into_1200_pixels(driver: "Chrome", tmp_path: Path) -> None:
    """With long names, marks, calls of many seconds and counts below each p99; shares break between two of them."""
    few = calls(13.423, 21) | {"disturbed": True, "precision_share": {"bf16": 0.63, "int8": 0.37}, "peak_rss_bytes": 12.4 * 2**30}
    paired: dict[str, Any] = {"over": "compile_freezing", "medians_s": (11.8,) * 3, "over_medians_s": (11.9, 12.0, 12.1)}
    save(tmp_path, 1, saved_run([benchmark(**few), benchmark("compile_workers_pinned", **paired, **few)]))
    show(driver, written(tmp_path), width=1200)

    left = run(driver, "const s = document.querySelector('.scroll:has(.ladder)'); return s.scrollWidth - s.clientWidth")
    assert left <= 0


@pytest.mark.parametrize("width", [360, 1200])
def test_opened_evidence_is_cut_nowhere(driver: "Chrome", tmp_path: Path, width: int) -> None:
    """Long settings break where they have no blank, and names of kernels after their words."""
    settings = {"OPTIMAL_NUMBER_OF_INFER_REQUESTS": "1", "MODEL_DISTRIBUTION_POLICY": "TENSOR_PARALLEL,PIPELINE_PARALLEL"}
    kernel = {"operation": "convolution", "implementation": "brgconv_avx512_core_amx_1x1_I8", "precision": "int8", "time_s": 1, "count": 53}
    save(tmp_path, 1, saved_run([benchmark(settings=settings, kernels=[kernel])]))
    show(driver, written(tmp_path), width=width)
    run(driver, "document.querySelectorAll('.more details').forEach(d => d.open = true)")

    parts = "[...document.querySelectorAll('.evidence > div')]"
    assert 3 == run(driver, f"return {parts}.length")
    assert [] == run(driver, f"return {parts}.filter(part => part.scrollWidth > part.clientWidth).map(part => part.innerText)")


def test_a_narrow_window_shows_the_answer_and_keeps_the_steps_in_sight(driver: "Chrome", page: Path) -> None:
    show(driver, page, width=360)

    assert "Best recipe: compile" in find(driver, ".answer .lead").text
    assert run(driver, "return document.querySelector('.answer .lead').getBoundingClientRect().bottom < innerHeight")
    run(driver, "document.querySelector('.scroll:has(.ladder)').scrollLeft = 400")
    assert 0 <= run(driver, "return document.querySelector('.ladder tbody th').getBoundingClientRect().left") < 60


def test_dark_and_light_follow_the_system_until_one_is_chosen(driver: "Chrome", page: Path) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    show(driver, page, scheme="light")
    light = run(driver, ground)
    show(driver, page, scheme="dark")
    dark = run(driver, ground)
    assert light != dark

    find(driver, "#theme").click()
    assert ("Theme: light", light) == (find(driver, "#theme").text, run(driver, ground))
    show(driver, page, scheme="dark")
    assert light == run(driver, ground), "the choice is kept"
    find(driver, "#theme").click()
    find(driver, "#theme").click()
    assert ("Theme: auto", dark) == (find(driver, "#theme").text, run(driver, ground))


def test_without_scripts_all_content_is_there_and_no_dead_control(driver: "Chrome", page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    show(driver, page, scripts=False)
    try:
        assert 6 == len(rows(driver))
        assert not find(driver, "#filters").is_displayed()
        assert not find(driver, "#theme").is_displayed()
        assert not driver.find_elements("css selector", "thead button")
        find(driver, "tbody.best .more summary").send_keys(Keys.ENTER)
        assert find(driver, "tbody.best .evidence").is_displayed()
    finally:
        show(driver, page)


def test_print_is_light_and_has_no_controls(driver: "Chrome", page: Path) -> None:
    show(driver, page, scheme="dark", media="print")

    assert "rgb(255, 255, 255)" == run(driver, "return getComputedStyle(document.body).backgroundColor")
    assert not find(driver, "#filters").is_displayed()
    assert not find(driver, "nav").is_displayed()
    assert find(driver, "table.ladder").is_displayed()
    button = "getComputedStyle(document.querySelector('thead button'))"
    assert "contents" == run(driver, f"return {button}.display"), "else the next sheet has a head without names"


@pytest.mark.slow
def test_no_name_runs_as_a_script(driver: "Chrome", hostile: Path) -> None:
    show(driver, hostile)
    run(driver, "document.querySelectorAll('details').forEach(d => d.open = true)")
    from selenium.webdriver.common.action_chains import ActionChains

    for element in driver.find_elements("css selector", "tbody th")[:30:2]:
        ActionChains(driver).move_to_element(element).perform()

    assert [] == complaints(driver)
    assert run(driver, "return [window.owned, document.scripts.length, document.images.length]") == [None, 1, 0]
    shown = find(driver, "body").text
    for name in ("<script>alert(1)</script>", SCRIPTS[1], "{{ 7 * 7 }}{% include 'page.css' %}"):
        assert name in shown


def test_a_right_to_left_name_leaves_its_neighbours_in_place(driver: "Chrome", tmp_path: Path) -> None:
    steps = ladder("baseline", "\u202e\u05e9\u05dc\u05d5\u05dd")
    save(tmp_path, 1, saved_run(steps))
    show(driver, written(tmp_path))

    left, right = (f"return document.querySelector('tbody.best {part}').getBoundingClientRect().left" for part in ("th bdi", ".mark"))
    assert run(driver, left) < run(driver, right)


def test_the_policy_stops_scripts_that_are_not_ours(driver: "Chrome", page: Path) -> None:
    show(driver, page)
    run(driver, "const s = document.createElement('script'); s.textContent = 'window.owned = 1'; document.head.append(s)")
    run(driver, "const i = document.createElement('img'); i.src = 'https://example.org/x.png'; document.body.append(i)")

    assert run(driver, "return window.owned") is None
    refused = [message for message in complaints(driver) if "Content Security Policy" in message]
    assert 2 <= len(refused)
