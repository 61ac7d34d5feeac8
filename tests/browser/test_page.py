"""The report's page as a reader has it: in Chromium, wide, narrow, dark, printed, with 500 hosts and hostile ones."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Browser
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import sample_fleet
from metis_provision.model.verdict import Answer
from metis_provision.report.document import Report
from metis_provision.report.page import page_text

NASTY = (
    "<img src=x onerror=\"document.title='owned'\">\"'</script><script>document.title='owned'</script>\x1b[31m\u202e"
)


def written(tmp_path: Path, report: Report, before: Report | None = None) -> Path:
    page = tmp_path / "report.html"
    page.write_text(page_text(report, before), encoding="utf-8")
    return page


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return written(tmp_path, *sample_fleet.site())


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    return written(tmp_path, sample_fleet.fleet(500))


@pytest.fixture
def neighbour() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def shown(browser: Browser) -> list[str]:
    return browser.run("return [...document.querySelectorAll('.host:not([hidden]) .name')].map(e => e.textContent)")


def use(browser: Browser) -> None:
    """Do with the page what a reader does."""
    browser.driver.find_element(By.ID, "filter").send_keys("edge")
    browser.run("document.querySelectorAll('details').forEach(e => { e.open = true })")
    browser.run("scrollTo(0, document.body.scrollHeight)")


def test_no_request_leaves_the_page(browser: Browser, fleet: Path):
    browser.open(fleet)
    use(browser)
    assert [address for address in browser.requests() if not address.startswith("data:")] == [fleet.as_uri()]
    assert browser.complaints() == []


LOADERS = (
    "<img src='{}/img'>",
    "<link rel=stylesheet href='{}/css'>",
    "<script src='{}/js'></script>",
    "<iframe src='{}/frame'></iframe>",
    "<script>fetch('{}/fetch', {{mode: 'no-cors'}})</script>",
    "<form action='{}/form' id=leave></form><script>document.getElementById('leave').submit()</script>",
)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("guarded", [True, False])
def test_the_policy_stops_what_would_load_something(
    browser: Browser, site: Path, neighbour: tuple[str, list[str]], loader: str, guarded: bool
):
    address, asked = neighbour
    text = site.read_text(encoding="utf-8").replace("</main>", f"{loader.format(address)}</main>")
    if not guarded:
        text = text.replace("Content-Security-Policy", "x-nothing")
    site.write_text(text, encoding="utf-8")
    browser.open(site)
    browser.run("return new Promise(done => setTimeout(done, 100))")
    assert bool(asked) is not guarded


def test_what_hosts_say_is_shown_and_does_nothing(browser: Browser, tmp_path: Path):
    report, _ = sample_fleet.site()
    spoiled = report.model_copy(
        update={
            "hosts": tuple(
                host.model_copy(
                    update={
                        "host": f"{number} {NASTY}",
                        "reason": NASTY,
                        "findings": tuple(
                            finding.model_copy(
                                update=dict.fromkeys(("title", "subject", "brief", "seen", "next"), NASTY)
                            )
                            for finding in host.findings
                        ),
                        "waivers": tuple(w.model_copy(update={"reason": NASTY}) for w in host.waivers),
                        "links": tuple(link.model_copy(update={"card": NASTY}) for link in host.links),
                    }
                )
                for number, host in enumerate(report.hosts)
            )
        }
    )
    browser.open(written(tmp_path, spoiled, report))
    browser.run("document.querySelectorAll('details').forEach(e => { e.open = true })")
    assert browser.driver.title.endswith("Metis report")
    assert browser.run("return document.querySelectorAll('img, main script').length") == 0
    assert browser.run("return document.querySelectorAll('[onerror]').length") == 0
    assert all("<img src=x onerror=" in name and "\\x1b[31m\\u202e" in name for name in shown(browser))
    assert browser.complaints() == []


def test_words_filter_hosts(browser: Browser, fleet: Path):
    browser.open(fleet)
    assert len(shown(browser)) == 500
    field = browser.driver.find_element(By.ID, "filter")
    field.send_keys("edge-0128")
    assert shown(browser) == ["edge-0128"]
    assert browser.driver.find_element(By.ID, "shown").text == "1 of 500"
    field.send_keys(" nothing-like-it")
    assert shown(browser) == []
    assert browser.driver.find_element(By.ID, "nothing").is_displayed()
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("metis-120")
    assert len(shown(browser)) == 16
    field.send_keys(Keys.ENTER)
    assert browser.driver.current_url == fleet.as_uri()


def test_standings_filter_hosts(browser: Browser, fleet: Path):
    browser.open(fleet)
    failed = browser.driver.find_element(By.CSS_SELECTOR, "button[data-standing=failed]")
    failed.click()
    assert len(shown(browser)) == 24
    browser.driver.find_element(By.CSS_SELECTOR, "button[data-standing=unproven]").click()
    assert len(shown(browser)) == 32
    failed.click()
    assert len(shown(browser)) == 8


def test_a_link_to_a_host_finds_it_although_it_was_filtered_out(browser: Browser, fleet: Path):
    browser.open(fleet)
    browser.driver.find_element(By.ID, "filter").send_keys("edge-0001")
    chip = browser.driver.find_element(By.CSS_SELECTOR, "#power-cycle .chip")
    name = chip.text
    browser.run("arguments[0].click()", chip)
    target = browser.driver.find_element(By.CSS_SELECTOR, ".host[open]")
    assert target.find_element(By.CLASS_NAME, "name").text == name
    assert browser.run("return arguments[0].getBoundingClientRect().top >= 0", target)
    assert target.find_element(By.CLASS_NAME, "evidence").is_displayed()
    assert len(shown(browser)) == 500


def test_500_hosts_can_be_scrolled_to_the_last(browser: Browser, fleet: Path):
    browser.open(fleet)
    last = "return [...document.querySelectorAll('.host')].at(-1)"
    before = browser.run("const r = arguments[0].getBoundingClientRect(); return r.top", browser.run(last))
    assert before > 900
    for _ in range(200):
        browser.run("scrollBy({top: 5000, behavior: 'instant'})")
        if browser.run("return scrollY + innerHeight >= document.documentElement.scrollHeight - 1"):
            break
    top, height = browser.run(
        "const r = arguments[0].getBoundingClientRect(); return [r.top, r.height]", browser.run(last)
    )
    assert 0 <= top < 900
    assert height > 20
    assert browser.run("return getComputedStyle(arguments[0]).contentVisibility", browser.run(last)) == "auto"
    assert browser.driver.find_element(By.ID, "filter").is_displayed()
    bar = browser.run("return document.getElementById('tools').getBoundingClientRect().top")
    assert bar == 0


@pytest.mark.parametrize("width", [320, 375, 768, 1200])
@pytest.mark.parametrize("page", ["site", "fleet", "nasty"])
def test_no_width_scrolls_sideways(browser: Browser, tmp_path: Path, width: int, page: str):
    report, before = sample_fleet.site() if page != "fleet" else (sample_fleet.fleet(60), None)
    if page == "nasty":
        long = "a-very-long-word-without-any-place-to-break-it" * 8
        first = report.hosts[3]
        finding = first.findings[0].model_copy(
            update={"seen": long, "answer": Answer.FAIL, "next": long, "brief": long}
        )
        host = first.model_copy(update={"host": long, "findings": (*first.findings, finding), "reason": long})
        report = report.model_copy(update={"hosts": (host, *report.hosts)})
    browser.open(written(tmp_path, report, before), width=width)
    browser.run("document.querySelectorAll('details').forEach(e => { e.open = true })")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    outside = (
        "return [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
    )
    assert [element.get_attribute("outerHTML")[:200] for element in browser.run(outside)] == []


CONTRAST = """
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
    .map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (!colour.includes(', 0)') && colour.startsWith('rgb')) return colour;
  }
};
return [...document.querySelectorAll('p, h1, h2, li, .quiet, .name, .state, .answer, .chip')].map(e => {
  const a = light(getComputedStyle(e).color), b = light(ground(e));
  return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.className || e.tagName];
}).filter(([ratio]) => ratio < 4.5).map(([ratio, what]) => `${what} ${ratio.toFixed(2)}`);
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_in_both_schemes(browser: Browser, site: Path, scheme: str):
    """4.5:1 is what WCAG 2.2 asks of text (1.4.3)."""
    browser.open(site, prefers_color_scheme=scheme)
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(19, 21, 24)") is (scheme == "dark")
    assert sorted(set(browser.run(CONTRAST))) == []


def test_paper_gets_the_trouble_and_no_tools(browser: Browser, site: Path):
    browser.open(site)
    browser.driver.execute_cdp_cmd("Page.printToPDF", {})
    assert browser.run("return [...document.querySelectorAll('.host[open]')].map(e => e.dataset.standing)").count(
        "failed"
    )
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not browser.driver.find_element(By.ID, "tools").is_displayed()
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_scripts_everything_is_there(browser: Browser, site: Path):
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(site)
        assert len(browser.driver.find_elements(By.CLASS_NAME, "host")) == 22
        assert not browser.driver.find_element(By.ID, "tools").is_displayed()
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
