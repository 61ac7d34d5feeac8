"""Takes the picture of a report's page that the documentation shows: docs/report.png."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from metis_provision.lab.requirements import missing_browser_requirements
from metis_provision.report.page import page_text

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/unit/checks")]
import sample_fleet  # noqa: E402 - found by the paths above

PICTURE = ROOT / "docs" / "report.png"
SIZE = "1000,2560"
"""Pixels: a window as wide as a page of documentation, and as high as to reach the first hosts."""


def main() -> int:
    """Show the page of the sample site to Chromium without a screen, and keep what it paints."""
    if missing := missing_browser_requirements():
        print("\n".join(missing), file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as directory:
        page = Path(directory) / "report.html"
        page.write_text(page_text(*sample_fleet.site()), encoding="utf-8")
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--window-size={SIZE}", f"--screenshot={PICTURE}", page.as_uri()]
        status = subprocess.run(command, check=False, capture_output=True).returncode
    print(f"wrote {PICTURE.relative_to(ROOT)}" if status == 0 else f"chromium ended with status {status}")
    return status


if __name__ == "__main__":
    sys.exit(main())
