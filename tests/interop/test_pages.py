"""The built-in pages and the mails that lead to them, as people use them: in Chromium, in English and German, on a telephone and a
desktop, light and dark, and by the rules of WCAG 2.2 (axe). Mails are read at /dev/mailbox."""

import base64
import contextlib
import functools
import http.client
import secrets
import subprocess
import tempfile
import time
import unittest

from browser import DESKTOP, RULES, SCHEMES, TELEPHONE, By, barriers, chromium, complaints, need_axe, need_browser, show, speak
from running import BINARY, EMAIL, Client, service

LANGUAGES = ("en", "de")
OLD, NEW = "correct horse battery", "a battery of her own"
REJECTED = "the server responded with a status of "
# Who opens links before people do: scanners of mails, previews of messengers, browsers that read ahead.
SCANNERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/79.0.3945.88 Safari/537.36 SafeLinks",
    "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.1; WOW64; Trident/6.0) BarracudaCentral",
    "Mozilla/5.0 (X11; Linux x86_64) Proofpoint URL Defense",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "WhatsApp/2.23.20.0 A",
    "curl/7.88.1",
)
TEXTS = {
    "en": {
        "forgotten": "Forgot your password?",
        "asked": "Look into your mailbox",
        "new password": "Choose a new password",
        "saved": "The password was changed",
        "short": "at least 8 characters",
        "differ": "didn't match",
        "create": "Create your account",
        "can log in": "Done",
        "confirm": "Confirm your email address",
        "confirm new": "Confirm your new email address",
        "changed": "The email address was changed",
        "undo": "Undo the change of your email address",
        "undone": "The change was undone",
        "code": "Enter the code of the mail",
        "keep": "Keep your account?",
        "invalid": "This link is no longer valid",
        "foreign": "The form was not sent",
        "too many": "Too many attempts",
    },
    "de": {
        "forgotten": "Passwort vergessen?",
        "asked": "Sehen Sie in Ihr Postfach",
        "new password": "Neues Passwort wählen",
        "saved": "Das Passwort wurde geändert",
        "short": "mindestens 8 Zeichen",
        "differ": "stimmen nicht überein",
        "create": "Konto anlegen",
        "can log in": "Fertig",
        "confirm": "E-Mail-Adresse bestätigen",
        "confirm new": "Neue E-Mail-Adresse bestätigen",
        "changed": "Die E-Mail-Adresse wurde geändert",
        "undo": "Änderung der E-Mail-Adresse rückgängig machen",
        "undone": "Die Änderung wurde rückgängig gemacht",
        "code": "Code der E-Mail eingeben",
        "keep": "Konto behalten?",
        "invalid": "Dieser Link gilt nicht mehr",
        "foreign": "Das Formular wurde nicht angenommen",
        "too many": "Zu viele Versuche",
    },
}


def setUpModule():
    need_browser()
    need_axe()


def in_each_language(**settings):
    """Runs a test with a fresh service with these settings in each language."""

    def decorate(test):
        @functools.wraps(test)
        def run(self):
            for language in LANGUAGES:
                with self.subTest(language), self.speaking(language, **settings) as client:
                    test(self, client)

        return run

    return decorate


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser, cls.seen = cls.enterClassContext(chromium()), set()

    @contextlib.contextmanager
    def speaking(self, language, **settings):
        """A fresh service with these settings, and the browser of somebody who speaks this language."""
        with tempfile.TemporaryDirectory() as folder:
            database = f"{folder}/doorwarden.db"
            variables = {
                "DOORWARDEN_DATABASE_URL": f"sqlite://{database}",
                "DOORWARDEN_SECRET_KEY": secrets.token_hex(32),
                "DOORWARDEN_MAIL_LOCALE": language,
                **settings,
            }
            with service(**variables) as url:
                self.client, self.texts = Client(url, database, language), TEXTS[language]
                self.client.variables = {**variables, "DOORWARDEN_LISTEN": url.removeprefix("http://")}
                speak(self.browser, language)
                complaints(self.browser)
                yield self.client

    def jane(self, client):
        """Registers Jane, whose address needs no proof."""
        self.assertEqual(client.call("POST", "/registration", email=EMAIL, username="jane", password=OLD)[0], 201)

    def one(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def look(self, text, error=None):
        """Looks at the page in every way: it has this heading, nobody is shut out, and nothing runs or was refused on it."""
        heading = self.one("h1").text
        self.assertEqual(heading, self.texts[text])
        self.assertIn(heading, self.browser.title)
        self.assertEqual(self.one("html").get_attribute("lang"), self.client.language)
        scripts = """
            const attributes = [...document.querySelectorAll("*")].flatMap((one) => one.getAttributeNames());
            return document.scripts.length + attributes.filter((name) => name.startsWith("on")).length;
        """
        self.assertEqual(self.browser.execute_script(scripts), 0)
        said = [line for line in complaints(self.browser) if not (error and f"{REJECTED}{error} " in line)]
        self.assertEqual(said, [], "the console says nothing")
        # What says the same was looked at already.
        if (said := self.one("main").text) not in self.seen:
            self.seen.add(said)
            self.open_to_everybody(heading, [*RULES, "best-practice"])

    def open_to_everybody(self, title, rules):
        for width in (TELEPHONE, DESKTOP):
            for scheme in SCHEMES:
                with self.subTest(title, width=width, scheme=scheme):
                    show(self.browser, width, scheme)
                    self.assertLessEqual(self.browser.execute_script("return document.documentElement.scrollWidth"), width)
                    self.assertEqual(barriers(self.browser, rules), [])
        complaints(self.browser)

    def open(self, mail):
        """Opens the link of a mail."""
        self.browser.get(self.link(mail))

    def link(self, mail):
        self.browser.get(f"{self.client.url}{mail.path}/html")
        return self.one("a[href*='key=']").get_attribute("href")

    def type(self, **fields):
        for name, value in fields.items():
            self.one(f"#{name}").clear()
            self.one(f"#{name}").send_keys(value)

    def press(self):
        before = self.one("html")
        self.one("button").click()
        for _ in range(600):
            with contextlib.suppress(Exception):
                if self.one("html") != before and self.one("h1"):
                    return
            time.sleep(0.05)
        self.fail("no page followed")

    def choose(self, password):
        self.type(new_password=password, new_password_again=password)
        self.press()

    def is_spent(self, mail):
        self.open(mail)
        self.look("invalid", error=400)
        self.assertEqual(self.browser.find_elements(By.TAG_NAME, "form"), [])

    @in_each_language()
    def test_a_forgotten_password_is_reset(self, client):
        self.jane(client)
        self.browser.get(client.url + "/.well-known/change-password")
        self.look("forgotten")
        self.type(email=EMAIL)
        self.press()
        self.look("asked")
        mail = client.mail()
        self.open(mail)
        self.look("new password")
        self.type(new_password=NEW, new_password_again=NEW + "!")
        self.press()
        self.look("new password", error=400)
        self.assertIn(self.texts["differ"], self.one("#new_password_again-error").text)
        focused = self.browser.switch_to.active_element.get_attribute("id")
        self.assertEqual(focused, "new_password_again", "the first field that is wrong has the focus")
        self.choose("short")
        self.assertIn(self.texts["short"], self.one("#new_password-error").text)
        self.look("new password", error=400)
        self.choose(NEW)
        self.look("saved")
        self.assertEqual(client.log_in(OLD)[0], 400)
        self.assertEqual(client.log_in(NEW)[0], 200)
        self.is_spent(mail)

    @in_each_language(DOORWARDEN_LIMITS_QUOTAS="mail-account=1/1h")
    def test_whoever_asks_too_often_is_told_so(self, client):
        for text, error in (("asked", None), ("too many", 429)):
            self.browser.get(client.url + "/password/forgotten")
            self.type(email=EMAIL)
            self.press()
            self.look(text, error=error)
        self.assertIn("60", self.one("main").text)

    @in_each_language(DOORWARDEN_REGISTRATION_MODE="verified")
    def test_a_registration_is_verified(self, client):
        status, _ = client.call("POST", "/registration", email=EMAIL, username="jane", password=OLD)
        self.assertEqual(status, 202)
        mail = client.mail()
        self.open(mail)
        self.look("create")
        self.choose(NEW)
        self.look("can log in")
        self.assertEqual(client.log_in(NEW)[0], 200)
        self.is_spent(mail)

    @in_each_language(
        DOORWARDEN_REGISTRATION_MODE="invitation",
        DOORWARDEN_FIELDS_AGE_TYPE="integer",
        DOORWARDEN_FIELDS_AGE_MIN="18",
        DOORWARDEN_FIELDS_AGE_REQUIRED="true",
        DOORWARDEN_FIELDS_NEWS_TYPE="boolean",
        DOORWARDEN_FIELDS_NEWS_REQUIRED="true",
        DOORWARDEN_FIELDS_PLAN_TYPE="choice",
        DOORWARDEN_FIELDS_PLAN_CHOICES="free,team",
        DOORWARDEN_FIELDS_PLAN_REQUIRED="true",
    )
    def test_an_invitation_is_accepted(self, client):
        invite = [BINARY, "invitation", "send", EMAIL]
        subprocess.run(invite, env=client.variables, check=True, capture_output=True, timeout=60)
        mail = client.mail()
        self.open(mail)
        self.look("create")
        self.type(username="jane", new_password=NEW, new_password_again=NEW)
        self.one("[id='field.age']").send_keys("33")
        self.one("[id='field.news']").click()
        self.one("[id='field.plan']").send_keys("team")
        self.press()
        self.look("can log in")
        status, answer = client.log_in(NEW)
        self.assertEqual(status, 200)
        client.token = answer["token"]
        account = client.call("GET", "/me")[1]
        self.assertEqual([account[name] for name in ("age", "news", "plan")], [33, True, "team"])
        self.is_spent(mail)

    @in_each_language(DOORWARDEN_MAIL_VERIFICATION="required")
    def test_an_address_is_confirmed_and_whoever_did_chooses_the_password(self, client):
        status, _ = client.call("POST", "/registration", email=EMAIL, username="jane", password=OLD)
        self.assertEqual(status, 401)
        self.open(client.mail())
        self.look("confirm")
        self.press()
        self.look("new password")
        self.choose(NEW)
        self.look("saved")
        self.assertEqual(client.log_in(NEW)[0], 200)

    @in_each_language()
    def test_a_change_of_the_address_is_confirmed_and_undone(self, client):
        self.jane(client)
        client.token = client.log_in(OLD)[1]["token"]
        self.assertEqual(client.call("POST", "/email/change", email="jane@example.org")[0], 202)
        client.mail()
        self.open(client.mail("jane@example.org"))
        self.look("confirm new")
        self.press()
        self.look("changed")
        undo = client.mail()
        self.open(undo)
        self.look("undo")
        self.press()
        self.look("undone")
        self.assertEqual(client.call("GET", "/me")[0], 401)
        client.token = None
        self.assertEqual(client.log_in(OLD)[0], 400, "the password, which somebody may know, is unusable")
        self.is_spent(undo)

    @in_each_language(DOORWARDEN_MAIL_VERIFICATION="required", DOORWARDEN_DELETION_GRACE="7d")
    def test_an_account_that_is_to_be_deleted_is_kept(self, client):
        client.call("POST", "/registration", email=EMAIL, username="jane", password=OLD)
        confirm = client.mail()
        client.change("UPDATE users SET email_verified_at = '2026-01-01T00:00:00.000000Z', deletion_at = '2100-01-01T00:00:00.000000Z'")
        self.open(confirm)
        self.press()
        self.look("keep")
        self.press()
        self.look("can log in")
        self.assertEqual(client.log_in(OLD)[0], 200)

    @in_each_language()
    def test_a_link_to_log_in_leads_to_the_code_and_stays_good(self, client):
        self.jane(client)
        client.change("UPDATE users SET email_verified_at = '2026-01-01T00:00:00.000000Z'")
        self.assertEqual(client.call("POST", "/login/email", email=EMAIL)[0], 202)
        mail = client.mail()
        link = self.link(mail)
        self.browser.get(link)
        self.look("code")
        self.assertEqual(self.browser.find_elements(By.TAG_NAME, "form"), [])
        status, answer = client.call("POST", "/login/link", key=link.partition("key=")[2])
        self.assertEqual((status, "token" in answer), (200, True))
        self.is_spent(mail)

    @in_each_language()
    def test_a_link_that_was_made_up_or_has_expired_does_nothing(self, client):
        self.jane(client)
        for key in ("", "?key=", "?key=dwk_x", f"?key=dwk_{'A' * 43}", "?key=<script>alert(1)</script>"):
            self.browser.get(f"{client.url}/link{key}")
            self.look("invalid", error=400)
        client.call("POST", "/password/reset", email=EMAIL)
        mail = client.mail()
        self.open(mail)
        client.change("UPDATE doorwarden_challenges SET expires_at = created_at")
        self.choose(NEW)
        self.look("invalid", error=400)
        self.is_spent(mail)
        self.assertEqual(client.log_in(OLD)[0], 200)

    @in_each_language()
    def test_a_form_on_another_site_does_nothing(self, client):
        self.jane(client)
        client.call("POST", "/password/reset", email=EMAIL)
        mail = client.mail()
        key = self.link(mail).partition("key=")[2]
        fields = {"key": key, "new_password": NEW, "new_password_again": NEW}
        fields = "".join(f"<input name={name} value='{value}'>" for name, value in fields.items())
        form = f"<form method=post action='{client.url}/link'>{fields}<button>Take it</button></form>"
        self.browser.get(f"data:text/html,<h1>You have won</h1>{form}")
        self.press()
        self.look("foreign", error=403)
        self.assertEqual(client.log_in(OLD)[0], 200)
        self.open(mail)
        self.choose(NEW)
        self.look("saved")

    @in_each_language()
    def test_whoever_only_opens_a_link_uses_nothing_up(self, client):
        self.jane(client)
        client.call("POST", "/password/reset", email=EMAIL)
        mail = client.mail()
        path = self.link(mail).removeprefix(client.url)
        connection = http.client.HTTPConnection(client.url.removeprefix("http://"), timeout=20)
        for number in range(50):
            for method in ("GET", "HEAD", "OPTIONS"):
                connection.request(method, path, headers={"User-Agent": SCANNERS[number % len(SCANNERS)]})
                answer = connection.getresponse()
                answer.read()
                self.assertIn(answer.status, (200, 204), method)
        connection.close()
        # A scanner may be a browser, and wait for what the page does by itself.
        self.browser.get(client.url + path)
        time.sleep(2)
        self.look("new password")
        status, link = client.call("POST", "/links/inspect", key=path.partition("key=")[2])
        self.assertEqual((status, link["purpose"]), (200, "password_reset"))
        self.choose(NEW)
        self.look("saved")
        self.is_spent(mail)

    @in_each_language(DOORWARDEN_MAIL_VERIFICATION="asked")
    def test_mails_can_be_read_by_everybody(self, client):
        self.jane(client)
        client.call("POST", "/password/reset", email=EMAIL)
        client.call("POST", "/login/email", email=EMAIL)
        for mail in (client.mail(), client.mail(), client.mail()):
            # The mailbox shows the part in a sandbox, where axe cannot wait.
            html = base64.b64encode(client.html(mail)).decode()
            self.browser.get(f"data:text/html;charset=utf-8;base64,{html}")
            self.assertEqual(self.one("html").get_attribute("lang"), client.language)
            self.open_to_everybody(mail.subject, RULES)


if __name__ == "__main__":
    unittest.main()
