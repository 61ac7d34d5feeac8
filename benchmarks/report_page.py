"""How long the report's page takes for a fleet: to write, to show, to scroll and to filter in Chromium.

Usage: .venv/bin/python benchmarks/report_page.py [HOSTS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "unit" / "checks"), str(ROOT / "tests" / "browser")]

from conftest import Browser, start_chromium  # noqa: E402

import sample_fleet  # noqa: E402
from metis_provision.report.page import page_text  # noqa: E402

SCROLL = """
const frames = [];
return new Promise((done) => {
  let last = performance.now();
  const step = (now) => {
    frames.push(now - last); last = now;
    if (scrollY + innerHeight >= document.documentElement.scrollHeight - 1) { done(frames); return; }
    scrollBy({top: 120, behavior: "instant"}); requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
});
"""
FILTER = """
const field = document.getElementById("filter"), times = [];
for (const word of ["e", "ed", "edge-01", "METIS-120", ""]) {
  const began = performance.now();
  field.value = word; field.dispatchEvent(new Event("input")); document.body.getBoundingClientRect();
  times.push(performance.now() - began);
}
return times;
"""


def main(size: int) -> None:
    """Measure once and print milliseconds."""
    report = sample_fleet.fleet(size)
    began = time.perf_counter()
    text = page_text(report)
    print(f"{size} hosts: page of {len(text) // 1024} KiB written in {(time.perf_counter() - began) * 1000:.0f} ms")
    with tempfile.TemporaryDirectory() as directory, start_chromium() as driver:
        page = Path(directory) / "report.html"
        page.write_text(text, encoding="utf-8")
        browser = Browser(driver)
        browser.open(page)
        shown = browser.run("return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        frames = sorted(browser.run(SCROLL)[1:])
        print(f"shown after {shown:.0f} ms")
        print(f"scrolled in {len(frames)} frames: median {frames[len(frames) // 2]:.0f} ms, worst {frames[-1]:.0f} ms")
        print("filtered in " + ", ".join(f"{moment:.0f}" for moment in browser.run(FILTER)) + " ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
