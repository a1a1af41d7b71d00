"""The lines of JavaScript of docs/factors.md, run by Chromium with its virtual authenticator against the service; and the code of an authenticator app, by pyotp."""

import base64
import contextlib
import json
import re
import subprocess
import time
import unittest
from pathlib import Path

import pyotp

from browser import PATIENCE, chromium, need_browser
from running import BINARY, EMAIL, Client, free_port, service

PASSWORD = "correct horse battery"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "factors.md"
# What the document leaves to the page.
REGISTER, LOG_IN = re.findall(r"```js\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


class Factors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need_browser()
        port = free_port()
        # A passkey needs a domain, and localhost is one.
        cls.url = f"http://localhost:{port}"
        cls.enterClassContext(service(DOORWARDEN_LISTEN=f"127.0.0.1:{port}", DOORWARDEN_TOKENS_ISSUER=cls.url, DOORWARDEN_FACTORS_SERVICE_NAME="Example"))
        cls.browser = cls.enterClassContext(chromium())
        cls.browser.set_script_timeout(PATIENCE)
        cls.browser.get(cls.url + "/docs")
        cls.browser.execute_cdp_cmd("WebAuthn.enable", {})

    def setUp(self):
        self.client = Client(self.url, None, "en")
        name = self.id().rsplit(".", 1)[1].replace("_", "-")
        self.email = f"{name}@example.com"
        status, body = self.client.call("POST", "/registration", email=self.email, username=name, password=PASSWORD)
        self.assertEqual(status, 201, body)
        self.client.token = body["token"]
        self.prove_address()

    def prove_address(self):
        """Where mails are sent, the address is proved before the first factor."""
        status, body = self.client.call("POST", "/factors/totp", name="Phone")
        self.assertEqual((status, body["code"]), (401, "email_verification_required"))
        mail = self.client.mail(self.email)
        code = re.search(rb"[B-Z479]{4}-[B-Z479]{4}", self.client.html(mail)).group().decode()
        status, body = self.client.call("POST", "/registration/verify-email", login_token=body["login_token"], code=code)
        self.client.token = body["token"]

    def cdp(self, command, **parameters):
        return self.browser.execute_cdp_cmd(f"WebAuthn.{command}", parameters)

    def authenticator(self, **options):
        usual = {
            "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
            "isUserVerified": True, "automaticPresenceSimulation": True,
        }
        self.key = self.cdp("addVirtualAuthenticator", options={**usual, **options})["authenticatorId"]
        self.addCleanup(lambda: self.cdp("removeVirtualAuthenticator", authenticatorId=self.key))

    def run_js(self, script, result):
        """Runs lines of the document in the page; the value of this variable of theirs."""
        done = """const [token, done] = arguments;
            (async () => { %s; return %s; })().then((value) => done({value}), (error) => done({error: String(error)}));"""
        answer = self.browser.execute_async_script(done % (script, result), self.client.token)
        self.assertNotIn("error", answer)
        return answer["value"]

    def register(self):
        return self.run_js(REGISTER, "({factor, recovery_codes})")

    def log_in(self):
        # The document defines `post` once, above.
        return self.run_js(REGISTER.split("\n\n")[0] + LOG_IN, "answer")

    def levels(self, token):
        self.client.token = token
        _, sessions = self.client.call("GET", "/sessions")
        (current,) = [session for session in sessions if session["current"]]
        return current["assurance_level"], current["amr"]

    def set_credential(self, **properties):
        (credential,) = self.cdp("getCredentials", authenticatorId=self.key)["credentials"]
        self.cdp("setCredentialProperties", authenticatorId=self.key, credentialId=credential["credentialId"], **properties)

    def test_a_passkey_is_registered_and_logs_in_without_an_address(self):
        self.authenticator()
        made = self.register()
        self.assertEqual((made["factor"]["type"], len(made["recovery_codes"])), ("webauthn", 10))
        self.assertEqual(self.levels(self.log_in()["token"]), (2, ["hwk", "mfa", "user"]))

    def test_a_form_offers_the_passkey(self):
        self.authenticator()
        self.register()
        conditional = LOG_IN.replace("get({ publicKey })", 'get({ publicKey, mediation: "conditional" })')
        self.assertIn("conditional", conditional)
        answer = self.run_js(REGISTER.split("\n\n")[0] + conditional, "answer")
        self.assertEqual(self.levels(answer["token"])[0], 2)

    def test_an_authenticator_that_does_not_verify_its_user_is_one_factor(self):
        self.authenticator(isUserVerified=True)
        self.register()
        self.cdp("setResponseOverrideBits", authenticatorId=self.key, isBadUV=True)
        answer = self.log_in()
        self.assertEqual((answer["code"], answer["flows"][0]["id"]), ("password_required", "password"))
        self.assertNotIn("token", answer)
        step = {"login_token": answer["login_token"], "method": "password", "password": PASSWORD}
        status, body = self.client.call("POST", "/login/verify", **step)
        self.assertEqual(self.levels(body["token"]), (2, ["hwk", "mfa", "pwd"]))

    def test_a_passkey_is_the_second_factor_of_a_password(self):
        self.authenticator()
        self.register()
        status, body = self.client.call("POST", "/login", email=self.email, password=PASSWORD)
        self.assertEqual((status, body["flows"][0]["types"]), (401, ["webauthn", "recovery_codes"]))
        login = json.dumps(body["login_token"])
        second = LOG_IN.replace('options", {})', f'options", {{ login_token: {login} }})')
        second = second.replace("credential.toJSON() })", f"credential.toJSON(), login_token: {login} }})")
        answer = self.run_js(REGISTER.split("\n\n")[0] + second, "answer")
        self.assertEqual(self.levels(answer["token"])[0], 2)

    def test_a_removed_passkey_is_unknown_and_leaves_the_browser(self):
        self.authenticator()
        made = self.register()
        status, _ = self.client.call("DELETE", f"/factors/{made['factor']['id']}")
        self.assertEqual(status, 204)
        self.assertEqual(self.log_in()["code"], "passkey_unknown")
        # The last lines of the document have told the browser.
        self.assertEqual(self.cdp("getCredentials", authenticatorId=self.key)["credentials"], [])

    def test_signals_keep_what_is_good(self):
        self.authenticator()
        self.register()
        _, signals = self.client.call("GET", "/factors/passkeys/signals")
        for method, details in (
            ("signalAllAcceptedCredentials", signals["all_accepted_credentials"]),
            ("signalCurrentUserDetails", signals["current_user_details"]),
        ):
            self.run_js(f"await PublicKeyCredential.{method}({json.dumps(details)})", "null")
        (credential,) = self.cdp("getCredentials", authenticatorId=self.key)["credentials"]
        self.assertEqual(credential["userName"], self.email)

    def test_the_copy_of_a_passkey_is_shown(self):
        self.authenticator(defaultBackupEligibility=True, defaultBackupState=False)
        self.register()
        for state in (True, False):
            self.set_credential(backupState=state)
            self.levels(self.log_in()["token"])
            _, factors = self.client.call("GET", "/factors")
            self.assertEqual(factors[0]["backed_up"], state)

    def test_a_counter_that_goes_back_does_not_lock_out(self):
        self.authenticator()
        self.register()
        self.log_in()
        (credential,) = self.cdp("getCredentials", authenticatorId=self.key)["credentials"]
        self.cdp("removeCredential", authenticatorId=self.key, credentialId=credential["credentialId"])
        fields = ("credentialId", "isResidentCredential", "rpId", "privateKey", "userHandle")
        again = {name: credential[name] for name in fields}
        self.cdp("addCredential", authenticatorId=self.key, credential={**again, "signCount": 1})
        self.assertEqual(self.levels(self.log_in()["token"])[0], 2)

    def test_bad_signatures_are_refused(self):
        self.authenticator()
        self.register()
        for override in ({"isBogusSignature": True}, {"isBadUP": True}):
            self.cdp("setResponseOverrideBits", authenticatorId=self.key, **override)
            self.assertEqual(self.log_in()["code"], "passkey_invalid")

    def test_codes_of_another_program_are_accepted_once(self):
        status, begun = self.client.call("POST", "/factors/totp", name="Phone")
        self.assertEqual(status, 201, begun)
        app = pyotp.parse_uri(begun["otpauth_uri"])
        self.assertEqual((app.issuer, app.name, app.secret), ("Example", self.email, begun["secret"]))
        at = time.time()
        status, body = self.client.call("POST", f"/factors/totp/{begun['id']}/confirm", code=app.at(at))
        self.assertEqual(status, 200, body)
        login = self.client.call("POST", "/login", email=self.email, password=PASSWORD)[1]["login_token"]
        step = {"login_token": login, "method": "totp"}
        self.assertEqual(self.client.call("POST", "/login/verify", code=app.at(at), **step)[1]["code"], "code_invalid")
        status, body = self.client.call("POST", "/login/verify", code=app.at(at, 1), **step)
        self.assertEqual(self.levels(body["token"]), (2, ["mfa", "otp", "pwd"]))


if __name__ == "__main__":
    unittest.main()
