"""The verifier beside a running service."""

import os
import sys
import time
import unittest

from doorwarden_verify import InvalidToken, Revoked, Unavailable, Verifier
from doorwarden_verify.http import Issuer

from .service import PASSWORD, URL, call, log_in, log_out, register

ROUNDS = 1000 if os.environ.get("DOORWARDEN_DRILL") == "full" else 20


def is_refused(verifier, token):
    try:
        verifier.verify(token)
    except Revoked:
        return True
    return False


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.email, cls.id = register()
        cls.verifier = Verifier(URL)

    @classmethod
    def tearDownClass(cls):
        cls.verifier.close()

    def test_a_login_is_verified(self):
        claims = self.verifier.verify(log_in(self.email)["access"])
        self.assertEqual((claims["id"], claims["sub"], claims["iss"]), (self.id, str(self.id), URL))
        status = self.verifier.status()
        self.assertTrue(status.has_keys and not status.is_stale and status.silence_secs < 10)

    def test_logouts_are_heard_of_within_a_second(self):
        delays = []
        for _ in range(ROUNDS):
            pair = log_in(self.email)
            self.verifier.verify(pair["access"])
            log_out(pair)
            answered = time.monotonic()
            while not is_refused(self.verifier, pair["access"]):
                self.assertLess(time.monotonic() - answered, 1.0, f"after {len(delays)} rounds")
                time.sleep(0.001)
            delays.append(time.monotonic() - answered)
        delays.sort()
        median, p99 = (delays[int((len(delays) - 1) * share)] for share in (0.5, 0.99))
        print(
            f"{ROUNDS} logouts were heard of after {median:.3f} s (median), {p99:.3f} s (p99), {delays[-1]:.3f} s (most)",
            file=sys.stderr,
        )

    def test_the_other_tokens_of_the_service_are_no_access_tokens(self):
        session = call("/login", {"email": self.email, "password": PASSWORD})["token"]
        for token in [session, log_in(self.email)["refresh"], self.statement()]:
            self.assertRaises(InvalidToken, self.verifier.verify, token)

    def test_a_token_for_somebody_else_is_refused(self):
        other = Verifier(URL, audience="https://other.example")
        self.assertRaises(InvalidToken, other.verify, log_in(self.email)["access"])
        other.close()

    def test_silence_is_told_and_handled_as_chosen(self):
        token = log_in(self.email)["access"]
        for policy in ("refuse", "accept"):
            ahead = 0.0
            verifier = Verifier(URL, stale_limit=10, when_stale=policy, clock=lambda: time.time() + ahead)
            verifier.verify(token)
            verifier.close()
            ahead = 11.0
            with self.assertLogs("doorwarden_verify", "WARNING"):
                if policy == "refuse":
                    self.assertRaises(Unavailable, verifier.verify, token)
                else:
                    verifier.verify(token)
            self.assertTrue(verifier.status().is_stale)

    def test_unknown_keys_are_one_fetch_for_each_interval(self):
        verifier = Verifier(URL, refresh_interval=0.3)
        self.assertTrue(verifier.ready())
        fetched = []
        verifier._follower._issuer = issuer = Issuer(URL)
        read = issuer.read
        issuer.read = lambda path, *rest, **more: (fetched.append(path), read(path, *rest, **more))[1]
        header, claims, signature = log_in(self.email)["access"].split(".")
        unknown = ".".join(["eyJhbGciOiJFZERTQSIsImtpZCI6Im5vbmUiLCJ0eXAiOiJhdCtqd3QifQ", claims, signature])
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            self.assertRaises(InvalidToken, verifier.verify, unknown)
        self.assertIn(len(fetched), range(1, 6))
        verifier.close()

    @unittest.skipUnless(hasattr(os, "fork"), "there is no fork")
    def test_a_verifier_lives_on_after_a_fork(self):
        token = log_in(self.email)["access"]
        self.verifier.verify(token)
        child = os.fork()
        if child == 0:
            try:
                heard = self.verifier.ready() and self.verifier.verify(token)["id"] == self.id
                thread = self.verifier._follower.is_alive()
            except BaseException:
                heard = thread = False
            os._exit(0 if heard and thread else 1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def test_the_issuer_is_reached_by_tls_or_on_this_machine(self):
        for address in ["http://id.example", "ftp://id.example", "id.example", "https://a@id.example"]:
            self.assertRaises(ValueError, Verifier, address)
        Verifier("http://id.example", allow_http=True)

    @staticmethod
    def statement():
        return Issuer(URL).read("/.well-known/revocations", "application/jwt", 1 << 20)[1]
