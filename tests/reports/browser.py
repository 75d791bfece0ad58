"""A real Chromium without a window, of its own empty profile."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
REMEDY = "apt-get install chromium chromium-driver (.ci/packages browser), pip install selenium"


def missing() -> str | None:
    """Say what is missing here, None for nothing."""
    try:
        import selenium  # noqa: F401 - only to see whether it is there
    except ImportError:
        return "selenium is not installed"
    if _browser() is None:
        return "there is no Chromium"
    return None if shutil.which("chromedriver") else "there is no chromedriver"


@contextmanager
def chromium(profile: Path) -> Iterator["Chrome"]:
    """Start a browser with its profile in the empty folder `profile`; skips the test where there is none."""
    if reason := missing():
        pytest.skip(f"{reason} -> {REMEDY}")
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = _browser() or ""
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def show(driver: "Chrome", page: Path, *, width: int = 1440, scheme: str = "light", media: str = "", scripts: bool = True) -> None:
    """Open a page in a window of `width` CSS pixels."""
    resize(driver, width)
    features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
    complaints(driver)
    driver.get(page.resolve().as_uri())


def resize(driver: "Chrome", width: int) -> None:
    """Make the window `width` CSS pixels wide."""
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def run(driver: "Chrome", script: str, *arguments: Any) -> Any:
    """Return what `script` returns in the page."""
    return driver.execute_script(script, *arguments)


def complaints(driver: "Chrome") -> list[str]:
    """Return what the browser's console was told since it was asked last."""
    return [entry["message"] for entry in driver.get_log("browser")]  # type: ignore[no-untyped-call]


def _browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)
