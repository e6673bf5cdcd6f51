"""Chromium without a screen, as a person would use it."""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from stage import Stage

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--disable-dev-shm-usage",
)  # fmt: skip
_WAIT_S = 20
_SWAPPED = (NoSuchElementException, StaleElementReferenceException)
"""What is met where a part of the page comes anew just now."""


class Chrome:
    """A browser before a stage."""

    def __init__(self, driver: webdriver.Chrome, stage: Stage) -> None:
        self.driver = driver
        self.stage = stage

    def screen(self, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """What the browser is looked at with."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def scripts(self, *, on: bool) -> None:
        """Whether pages may run any."""
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not on})

    def go(self, path: str = "") -> None:
        """Open a page of the console."""
        self.driver.get(f"{self.stage.url}/console/{path}")

    def sign_in(self, key: str | None = None) -> None:
        """Sign in by the form."""
        self.driver.delete_all_cookies()
        self.go("sign-in")
        self.driver.find_element(By.ID, "key").send_keys(key or self.stage.key)
        self.driver.find_element(By.CSS_SELECTOR, "button.primary").click()
        self.until(lambda own: own.driver.find_element(By.CSS_SELECTOR, "nav, [role=alert]"))

    def press(self, *keys: str) -> None:
        """Keys, wherever the focus is."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def tab_to(self, text: str, most: int = 80) -> None:
        """Press Tab until what says this has the focus."""
        for _ in range(most):
            self.press(Keys.TAB)
            focused = str(self.js("return document.activeElement.textContent"))
            if text in focused and len(focused) < 400:
                return
        msg = f"{text!r} is not reached by Tab"
        raise AssertionError(msg)

    def js(self, script: str, *values: Any) -> Any:
        """Run a script, as somebody with developer tools would."""
        return self.driver.execute_script(script, *values)

    def text(self, selector: str = "body") -> str:
        """What is to be read."""
        return self.driver.find_element(By.CSS_SELECTOR, selector).text

    def until(self, condition: Any, told: str = "") -> Any:
        """Wait until a function of this browser is true."""
        waiting = WebDriverWait(self.driver, _WAIT_S, 0.1, _SWAPPED)
        return waiting.until(lambda _: condition(self), told)

    def until_text(self, text: str, selector: str = "body") -> None:
        """Wait until it is to be read."""
        self.until(lambda own: text in own.text(selector), f"{text!r} does not come")

    def picture(self) -> bytes:
        """What is seen, as PNG."""
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        return base64.b64decode(taken["data"])

    def complaints(self) -> list[str]:
        """What the browser has to say of the pages, a breach of the policy among it."""
        found: list[dict[str, Any]] = self.driver.get_log("browser")
        return [entry["message"] for entry in found if entry["level"] in ("SEVERE", "WARNING")]


@contextmanager
def chrome(stage: Stage) -> Iterator[Chrome]:
    """A browser that nobody used before."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        msg = "chromium is missing: apt-get install chromium chromium-driver"
        raise RuntimeError(msg)
    folder = tempfile.mkdtemp(prefix="aistack-chrome-")
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    for flag in (*_FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(programs[1])))
    try:
        yield Chrome(driver, stage)
    finally:
        driver.quit()
        shutil.rmtree(Path(folder), ignore_errors=True)
