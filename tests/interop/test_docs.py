"""The page /docs in a real browser: Chromium, driven by chromedriver."""

import os
import unittest

from browser import DESKTOP, PATIENCE, By, WebDriverWait, chromium, complaints, need_browser, show
from running import CLIENT, CLIENT_SECRET, service, stripping_proxy


def setUpModule():
    need_browser()


class Docs(unittest.TestCase):
    def setUp(self):
        self.browser = self.enterContext(chromium())
        self.url = self.enterContext(service())

    def open(self, url):
        self.browser.get(url)
        WebDriverWait(self.browser, PATIENCE).until(lambda b: b.find_elements(By.CSS_SELECTOR, "main details"))

    def send(self, operation, **fields):
        """Opens an operation, fills fields by their labels, sends; what it says then."""
        details = self.browser.find_element(By.ID, operation)
        if not details.get_attribute("open"):
            details.find_element(By.TAG_NAME, "summary").click()
        for label in details.find_elements(By.TAG_NAME, "label"):
            for start, value in fields.items():
                if label.text.startswith(start.replace("_", " ")):
                    field = label.find_element(By.CSS_SELECTOR, "input, textarea")
                    field.clear()
                    field.send_keys(value)
        button = details.find_element(By.TAG_NAME, "button")
        button.click()
        answer = details.find_element(By.TAG_NAME, "pre")
        WebDriverWait(self.browser, PATIENCE).until(lambda _: button.is_enabled() and answer.text not in ("", "…"))
        return answer.text

    def assert_quiet(self):
        """No error in the browser's console."""
        self.assertEqual(complaints(self.browser), [])

    def log_in_and_look(self):
        self.assertIn("201", self.send("create_account"))
        self.assertIn("200", self.send("create_login"))
        me = self.send("read_me")
        self.assertTrue(me.startswith("200") and '"username": "jane"' in me, me)

    def test_the_samples_work_from_login_to_introspection(self):
        self.open(self.url + "/docs")
        self.log_in_and_look()
        known = self.send("introspect_for_client", Id_of_the_service=CLIENT, Secret_of_the_service=CLIENT_SECRET)
        self.assertTrue(known.startswith("200") and '"active": true' in known, known)
        pair = self.send("create_token")
        self.assertTrue(pair.startswith("200") and '"refresh"' in pair, pair)
        self.assertTrue(self.send("update_token").startswith("200"), "the refresh token was put where it is needed")
        self.assertTrue(self.send("verify_token").startswith("200"))
        self.assertTrue(self.send("update_me").startswith("200"))
        self.assertTrue(self.send("list_sessions").startswith("200"))
        self.assertTrue(self.send("delete_login").startswith("204"))
        self.assert_quiet()

    def test_a_stream_ends(self):
        self.open(self.url + "/docs")
        text = self.send("stream_revocations")
        self.assertTrue(text.startswith("200") and "event: revocations" in text, text)
        self.assert_quiet()

    def test_it_says_what_needs_a_token(self):
        self.open(self.url + "/docs")
        note = lambda operation: self.browser.execute_script(
            "return document.querySelector(`#${arguments[0]} summary small`)?.textContent ?? ''", operation
        )
        self.assertEqual(note("read_me"), "Needs a token.")
        self.assertEqual(note("create_login"), "")
        self.assertEqual(note("update_token"), "")
        self.assertNotIn("Needs", note("create_token"))
        self.assertIn("secret of a service", note("introspect_for_client"))
        markers = "return [...document.querySelectorAll('summary')].every((s) => getComputedStyle(s).display === 'list-item')"
        self.assertTrue(self.browser.execute_script(markers), "what can be opened shows it")

    def test_descriptions_show_code_as_code(self):
        self.open(self.url + "/docs")
        # The text of closed operations, too, which `text` would leave out.
        literal = "return ['description', 'operations'].flatMap((id) => document.getElementById(id).textContent.match(/`[^`]*`?/g) ?? [])"
        self.assertEqual(self.browser.execute_script(literal), [])
        codes = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        self.assertIn("token_expired", self.browser.execute_script(codes, "#read_me td code"))
        self.assertIn("Link", self.browser.execute_script(codes, "#list_sessions summary span code"))
        self.assertEqual(self.browser.execute_script(codes, "#description code"), ["Accept: application/problem+json"])
        self.assert_quiet()

    def test_text_between_backticks_is_not_html(self):
        self.open(self.url + "/docs")
        made = "const p = document.createElement('p'); p.append(...prose(arguments[0])); return p.innerHTML"
        for text, html in (
            ("`a`: <b>, `c`", "<code>a</code>: &lt;b&gt;, <code>c</code>"),
            ("`<img src=x onerror=alert(1)>`", "<code>&lt;img src=x onerror=alert(1)&gt;</code>"),
            ("one ` alone", "one ` alone"),
        ):
            self.assertEqual(self.browser.execute_script(made, text), html)

    def test_it_works_behind_a_proxy_that_takes_a_prefix_away(self):
        with stripping_proxy(self.url, "/auth") as proxied:
            for page in ("/docs/", "/docs"):
                self.open(proxied + page)
                link = self.browser.find_element(By.LINK_TEXT, "The OpenAPI document").get_attribute("href")
                self.assertEqual(link, proxied + "/openapi.json")
            self.log_in_and_look()
            self.assert_quiet()

    def test_it_fits_a_telephone_and_the_dark(self):
        self.open(self.url + "/docs")
        colours = set()
        for width, scheme in ((375, "light"), (375, "dark"), (DESKTOP, "dark")):
            show(self.browser, width, scheme)
            self.browser.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true })")
            wide = self.browser.execute_script("return document.documentElement.scrollWidth")
            self.assertLessEqual(wide, width)
            colours.add((scheme, self.browser.execute_script("return getComputedStyle(document.body).color")))
            if folder := os.environ.get("DOORWARDEN_TEST_SCREENSHOTS"):
                self.browser.save_screenshot(os.path.join(folder, f"docs-{width}-{scheme}.png"))
        self.assertEqual(len(colours), 2, f"one colour of text for each scheme: {colours}")
        self.assert_quiet()


if __name__ == "__main__":
    unittest.main()
