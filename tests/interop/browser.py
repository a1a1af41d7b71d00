"""Chromium, driven by its chromedriver, and axe, which finds what shuts people out of a page."""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from running import missing

try:
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    webdriver = By = WebDriverWait = None

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
AXE = Path(__file__).parent / "node" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE = 60
TELEPHONE, DESKTOP = 360, 1280
SCHEMES = ("light", "dark")
# Level AA of WCAG 2.2, which contains the earlier versions.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def need_browser():
    if not (webdriver and CHROMIUM and DRIVER):
        missing("interop, a browser: chromium, chromedriver or selenium", "scripts/setup test")


def need_axe():
    if not AXE.exists():
        missing("interop, axe-core", "scripts/test interop, with Node 20 or newer")


@contextlib.contextmanager
def chromium():
    """A browser that nobody has used."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in (
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", f"--user-data-dir={profile}",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        browser.set_page_load_timeout(PATIENCE)
        try:
            yield browser
        finally:
            browser.quit()


def show(browser, width, scheme):
    """Makes the window that of a telephone or of a desktop, light or dark."""
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def speak(browser, language):
    """Sets the language that the browser asks for."""
    agent = browser.execute_script("return navigator.userAgent")
    browser.execute_cdp_cmd("Emulation.setUserAgentOverride", {"userAgent": agent, "acceptLanguage": language})


def complaints(browser):
    """What the console says since the last call."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def barriers(browser, rules):
    """What axe finds on the page by these rules. The page has no say in it: its Content-Security-Policy does not stop the driver."""
    run = """
        const [source, rules, done] = arguments;
        if (!window.axe) (0, eval)(source);
        axe.run(document, {runOnly: rules, resultTypes: ['violations', 'incomplete']}).then(done, (e) => done({error: String(e)}));
    """
    found = browser.execute_async_script(run, AXE.read_text(), rules)
    if "error" in found:
        raise RuntimeError(found["error"])
    checked = {rule["id"] for rule in found["passes"]}
    if not {"color-contrast", "html-has-lang", "document-title"} <= checked:
        raise RuntimeError(f"axe has checked only {sorted(checked)}")
    return [
        f"{rule['id']}: {rule['help']}: {json.dumps([node['html'] for node in rule['nodes']])}"
        for rule in found["violations"] + found["incomplete"]
    ]
