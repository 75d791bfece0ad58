"""How soon the page of 100 runs opens, by Chromium's own clock: `python -m tests.reports.page_scale [FOLDER]`."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from selenium.webdriver.support.ui import WebDriverWait

from tests.reports.browser import REMEDY, chromium, missing, run, show
from tests.reports.scale import generate

RUNS = 100
OPENINGS = 5
PAINTED_WITHIN_S = 10
PAGES = {"latest": ["latest"], "two": ["1", "latest"], "all": [str(number) for number in range(1, RUNS + 1)]}
TIMES = """
const [opening] = performance.getEntriesByType("navigation");
const [paint] = performance.getEntriesByName("first-contentful-paint");
return [paint ? paint.startTime : NaN, opening.domContentLoadedEventEnd, opening.loadEventEnd];
"""


def main() -> int:
    """Generate the runs unless the folder has them, write the pages, and print size and times of each."""
    if reason := missing():
        print(f"not measured: {reason} -> {REMEDY}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        storage = Path(sys.argv[1] if len(sys.argv) > 1 else temporary) / "runs"
        if not storage.is_dir():
            storage.mkdir(parents=True)
            generate(storage, RUNS)
        print(
            f"{'runs named':12} {'written':>9} {'size':>9} {'first paint':>12} {'content':>9} {'loaded':>9} (median of {OPENINGS} openings)"
        )
        with chromium(Path(temporary) / "profile") as driver:
            for name, runs in PAGES.items():
                page = Path(temporary) / f"{name}.html"
                began_s = time.perf_counter()
                command = [sys.executable, "-m", "reports", "page", *runs, "--out", str(page), "--storage", str(storage)]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                written_s = time.perf_counter() - began_s
                times = []
                for _ in range(OPENINGS):
                    show(driver, page)
                    WebDriverWait(driver, PAINTED_WITHIN_S).until(lambda driver: run(driver, TIMES)[0] is not None)
                    times.append(run(driver, TIMES))
                paint_ms, content_ms, loaded_ms = (median(column) for column in zip(*times, strict=True))
                size_mb = page.stat().st_size / 1e6
                print(f"{name:12} {written_s:7.1f} s {size_mb:6.2f} MB {paint_ms:9.0f} ms {content_ms:6.0f} ms {loaded_ms:6.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
