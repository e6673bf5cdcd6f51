"""The console as people use it: by pointer, by keyboard, on a phone, in the dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chrome import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from stage import HOSTILE

pytestmark = pytest.mark.slow
SECTIONS = {
    "Overview": "Dependencies", "Issues": "no space left", "Garbage": "What a run would do now",
    "Backups": "What a restore would give", "Host": "Services", "Keys": "Make a key",
    "History": "Backup went well",
}  # fmt: skip
PAGES = (
    "",
    "issues",
    "issues?status=any",
    "issues/1",
    "garbage",
    "backups",
    "host",
    "keys",
    "history",
)

HERE = Path(__file__).parent
CONTRAST = (HERE / "contrast.js").read_text("utf-8")
SEMANTICS = (HERE / "semantics.js").read_text("utf-8")


def test_a_wrong_key_is_told_and_opens_nothing(browser: Chrome) -> None:
    browser.sign_in(f"aistack_{'0' * 12}_{'a' * 43}")
    browser.until_text("no key", "[role=alert]")
    # A page that is refused is logged by the browser, and by nobody else.
    assert all("401" in told for told in browser.complaints())
    browser.go()
    assert browser.driver.current_url.endswith("/console/sign-in")


def test_every_section_shows(browser: Chrome) -> None:
    for title, text in SECTIONS.items():
        browser.driver.find_element(By.LINK_TEXT, title).click()
        browser.until_text(text)
        current = browser.driver.find_element(By.CSS_SELECTOR, "[aria-current]")
        assert current.text == title
        assert title.split()[0] in browser.driver.title


def test_what_happens_arrives_without_a_reload(browser: Chrome) -> None:
    browser.go()
    browser.until_text("Live", "#link")
    browser.js("window.same = true")
    browser.stage.report("a pump in the cellar stands still", severity="critical")
    browser.until_text("a pump in the cellar", "[data-part=issues]")
    browser.until_text("2 critical issues", "[data-part=headline]")
    assert browser.js("return window.same")
    # What has not changed is still the same element, not another one that looks alike.
    browser.js("window.row = document.querySelector('[data-part=health] tbody tr')")
    before = _changes(browser)
    browser.until(lambda own: _changes(own) > before)
    assert browser.js("return window.row.isConnected")


def test_an_issue_is_resolved_by_keyboard_alone(browser: Chrome) -> None:
    browser.stage.report("the keyboard is all there is")
    browser.go("issues")
    browser.press(Keys.TAB)
    assert browser.js("return document.activeElement.className") == "skip"
    assert browser.js("return document.activeElement.getBoundingClientRect().top") >= 0
    browser.press(Keys.ENTER)
    browser.tab_to("the keyboard is all there is")
    outline = browser.js("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    browser.press(Keys.ENTER)
    browser.until_text("What to do")
    browser.press(Keys.TAB)
    browser.tab_to("Resolve")
    browser.press(Keys.ENTER)
    browser.until_text("The issue is resolved.", "[role=status].notice")
    browser.tab_to("Reopen")
    browser.press(Keys.ENTER)
    browser.until_text("The issue is open again.")


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_can_be_read_by_day_and_by_night(browser: Chrome, dark: bool) -> None:
    browser.screen(dark=dark)
    poor: dict[str, Any] = {}
    for path in (*PAGES, "sign-in"):
        browser.go(path)
        if found := browser.js(CONTRAST):
            poor[path] = found
    assert not poor
    paper = browser.js("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) < 128) == dark


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_page_is_wider_than_its_screen(browser: Chrome, width: int) -> None:
    browser.screen(width, 780)
    for path in PAGES:
        browser.go(path)
        if "garbage" in path:
            browser.until_text("Live", "#link")
            browser.driver.find_element(By.CSS_SELECTOR, "details.confirm summary").click()
        wide = browser.js("return document.documentElement.scrollWidth")
        assert wide <= width, path


def test_pages_are_built_as_readers_expect(browser: Chrome) -> None:
    for path in (*PAGES, "sign-in"):
        browser.go(path)
        assert browser.js(SEMANTICS) == [], path


def test_what_is_reported_is_never_run(browser: Chrome) -> None:
    browser.stage.report(HOSTILE, component=HOSTILE, kind=HOSTILE, context={HOSTILE: HOSTILE})
    number = browser.stage.do(_newest(browser))
    for path in ("", "issues", f"issues/{number}", "history"):
        browser.go(path)
        browser.until_text("onerror=window.pwned")
        if path != f"issues/{number}":
            browser.until_text("Live", "#link")  # the stream has sent it, too
        assert browser.js("return window.pwned === undefined")


async def _newest(browser: Chrome) -> int:
    return (await browser.stage.stack.tracker.issues.recent(1))[0].id


def test_a_plot_tells_its_numbers(browser: Chrome) -> None:
    browser.go()
    browser.until_text("Live", "#link")
    plot = browser.driver.find_element(By.CSS_SELECTOR, ".plot")
    browser.js("arguments[0].focus()", plot)
    browser.press(Keys.ARROW_LEFT)
    first = browser.text(".readout")
    assert "answered" in first
    browser.press(Keys.ARROW_LEFT)
    assert browser.text(".readout") != first
    lines = browser.driver.find_element(By.CSS_SELECTOR, ".plot:last-child .lines")
    ActionChains(browser.driver).move_to_element(lines).perform()
    assert "p95" in browser.text(".plot:last-child .readout")


def test_what_somebody_is_at_is_not_swapped(browser: Chrome) -> None:
    browser.go("garbage")
    browser.until_text("Live", "#link")
    browser.driver.find_element(By.CSS_SELECTOR, "details.confirm summary").click()
    button = browser.driver.find_element(By.CSS_SELECTOR, "details.confirm button")
    before = _changes(browser)
    browser.stage.do(_run(browser))
    browser.until(
        lambda own: (
            own.js("return Number(document.getElementById('link').dataset.changes)") > before
        )
    )
    assert button.is_displayed(), "the question stands where it was asked"
    assert "refused" not in browser.text("[data-part=collections]")
    browser.driver.find_element(By.CSS_SELECTOR, "details.confirm summary").click()
    browser.js("document.activeElement.blur()")
    browser.until_text("refused", "[data-part=collections]")


def _changes(browser: Chrome) -> int:
    return int(browser.js("return document.getElementById('link').dataset.changes"))


async def _run(browser: Chrome) -> None:
    async with browser.stage.stack.postgres.read() as conn:
        await conn.execute(
            "insert into gc_runs (kind, finished_at, result) values ('run', now(), 'refused')"
        )


def test_a_run_is_undone(browser: Chrome) -> None:
    browser.go("garbage")
    browser.until_text("Live", "#link")
    browser.driver.find_element(By.CSS_SELECTOR, "details.confirm summary").click()
    browser.driver.find_element(By.CSS_SELECTOR, "details.confirm button").click()
    browser.until_text("The run is undone", "[role=status].notice")
    browser.driver.find_element(By.XPATH, "//button[text()='Plan']").click()
    browser.until_text("Nothing was changed")


def test_all_works_without_a_script(browser: Chrome) -> None:
    browser.stage.report("no script is needed for this")
    browser.scripts(on=False)
    browser.go()
    assert "Dependencies" in browser.text()
    assert "As of" in browser.text("#link")
    browser.driver.find_element(By.LINK_TEXT, "no script is needed for this").click()
    browser.driver.find_element(By.XPATH, "//button[text()='Resolve']").click()
    assert "The issue is resolved." in browser.text("[role=status].notice")


def test_a_key_is_made_and_its_end_ends_the_session(browser: Chrome) -> None:
    browser.go("keys")
    browser.driver.find_element(By.NAME, "name").send_keys("made-here")
    browser.driver.find_element(By.NAME, "scope_admin").click()
    browser.driver.find_element(By.XPATH, "//button[text()='Make the key']").click()
    made = browser.text(".secret")
    browser.sign_in(made)
    browser.go()
    browser.until_text("Live", "#link")
    browser.stage.do(browser.stage.stack.keys.revoke(made.split("_")[1]))
    browser.until(lambda own: own.driver.current_url.endswith("/console/sign-in"))


def test_whoever_is_signed_out_elsewhere_is_led_to_the_form(browser: Chrome) -> None:
    browser.go()
    browser.until_text("Live", "#link")
    browser.driver.delete_all_cookies()
    browser.stage.end_streams()
    browser.until(lambda own: own.driver.current_url.endswith("/console/sign-in"))
    assert all("401" in told for told in browser.complaints())


def test_a_service_that_was_away_is_found_again(browser: Chrome) -> None:
    browser.go()
    browser.until_text("Live", "#link")
    browser.js("window.same = true")
    browser.stage.end_streams()
    browser.until_text("Not live", "#link")
    browser.until_text("Live", "#link")
    assert browser.js("return window.same")
