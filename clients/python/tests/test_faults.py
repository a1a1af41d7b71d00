"""The verifier beside an issuer that misbehaves, and with clocks that do."""

import threading
import time
import unittest

from doorwarden_verify import InvalidToken, Revoked, Unavailable, Verifier

from .issuer import Issuer

JWKS = "/.well-known/jwks.json"
FEED = "/.well-known/revocations"
STREAM = "/.well-known/revocations/stream"
SID = "00000000-0000-4000-8000-000000000001"


class Faults(unittest.TestCase):
    def issuer(self, *faults):
        issuer = Issuer(*faults)
        self.addCleanup(issuer.close)
        return issuer

    def verifier(self, issuer, **options):
        verifier = Verifier(issuer.url, **options)
        self.addCleanup(verifier.close)
        return verifier

    def until(self, holds, seconds=5.0):
        end = time.monotonic() + seconds
        while not holds():
            self.assertLess(time.monotonic(), end, "it did not happen in time")
            time.sleep(0.01)

    def is_revoked(self, verifier, token):
        try:
            verifier.verify(token)
        except Revoked:
            return True
        return False

    def test_unknown_keys_are_asked_for_past_every_cache(self):
        issuer = self.issuer()
        verifier = self.verifier(issuer, refresh_interval=0.0)
        self.assertTrue(verifier.ready())
        self.assertNotIn("no-cache", {headers["Cache-Control"] for _, headers in issuer.requests})
        issuer.keys["new"] = issuer.keys["k"]
        verifier.verify(issuer.token("new"))
        path, headers = issuer.requests[-1]
        self.assertEqual((path, headers["Cache-Control"]), (JWKS, "no-cache"))

    def test_waiters_share_one_fetch_and_none_waits_longer_than_two_seconds(self):
        issuer = self.issuer()
        verifier = self.verifier(issuer, refresh_interval=0.5)
        self.assertTrue(verifier.ready())
        good, before = issuer.token(), issuer.count(JWKS)
        issuer.set_faults("hang keys")
        took = []

        def ask():
            begin = time.monotonic()
            self.assertRaises(InvalidToken, verifier.verify, issuer.token("unknown"))
            took.append(time.monotonic() - begin)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        begin = time.monotonic()
        while any(thread.is_alive() for thread in threads):
            verifier.verify(good)
            time.sleep(0.01)
        self.assertEqual(len(took), 8)
        self.assertLess(max(took), 4.5)
        self.assertGreater(time.monotonic() - begin, 1.5)
        self.assertEqual(issuer.count(JWKS) - before, 1)
        # The fetch has taken too long already; nobody waits for it any more.
        begin = time.monotonic()
        self.assertRaises(InvalidToken, verifier.verify, issuer.token("unknown"))
        self.assertLess(time.monotonic() - begin, 1.9)

    def test_the_feed_is_heard_while_the_keys_hang(self):
        issuer = self.issuer()
        verifier = self.verifier(issuer, refresh_interval=0.0)
        token = issuer.token(sid=SID)
        verifier.verify(token)
        issuer.set_faults("hang keys")
        threading.Thread(target=lambda: self.assertRaises(InvalidToken, verifier.verify, issuer.token("unknown"))).start()
        issuer.revoke(sessions=[[SID, int(time.time())]])
        self.until(lambda: self.is_revoked(verifier, token), 4.0)

    def test_a_silent_feed_is_asked_once_before_anything_is_refused(self):
        # Without a stream, being ready means that the first fetch has ended: no later one shares it.
        issuer = self.issuer("no stream")
        ahead = 0.0
        verifier = self.verifier(issuer, clock=lambda: time.time() + ahead)
        token, ended = issuer.token(), issuer.token(sid=SID)
        verifier.verify(ended)
        # As if it had been stopped for 45 seconds: the clock goes on, and nothing was heard.
        ahead = issuer.ahead = 45
        issuer.says = {"sessions": [[SID, int(time.time())]]}
        verifier.verify(token)
        self.assertRaises(Revoked, verifier.verify, ended)

    def test_when_it_does_not_answer_the_refusal_comes_within_two_seconds(self):
        issuer = self.issuer()
        ahead = 0.0
        verifier = self.verifier(issuer, clock=lambda: time.time() + ahead)
        token = issuer.token()
        verifier.verify(token)
        issuer.set_faults("hang", "broken stream")
        ahead = 45.0
        begin = time.monotonic()
        self.assertRaises(Unavailable, verifier.verify, token)
        self.assertLess(time.monotonic() - begin, 4.5)
        issuer.ahead = 45
        issuer.set_faults()
        self.until(lambda: not verifier.status().is_stale, 15.0)
        verifier.verify(token)

    def test_where_the_stream_is_held_back_the_statement_is_fetched(self):
        issuer = self.issuer("buffered")
        verifier = self.verifier(issuer)
        begin = time.monotonic()
        token = issuer.token(sid=SID)
        verifier.verify(token)
        self.assertLess(time.monotonic() - begin, 5.0)
        issuer.revoke(sessions=[[SID, int(time.time())]])
        self.until(lambda: self.is_revoked(verifier, token), 5.0)

    def test_a_stream_that_falls_silent_is_not_waited_for(self):
        issuer = self.issuer()
        verifier = self.verifier(issuer)
        self.assertTrue(verifier.ready())
        token = issuer.token(sid=SID)
        verifier.verify(token)
        self.until(lambda: issuer.count(STREAM) == 1)
        issuer.set_faults("buffered")
        issuer.says = {"sessions": [[SID, int(time.time())]]}
        self.until(lambda: self.is_revoked(verifier, token), 12.0)

    def test_with_a_stream_nothing_is_polled(self):
        issuer = self.issuer()
        self.assertTrue(self.verifier(issuer).ready())
        self.until(lambda: issuer.count(STREAM) == 1)
        time.sleep(2.5)
        self.assertLessEqual(issuer.count(FEED), 2)

    def test_who_waits_in_vain_is_told_what_to_do(self):
        verifier = self.verifier(self.issuer("hang"))
        with self.assertLogs("doorwarden_verify", "WARNING") as logs:
            self.assertFalse(verifier.ready(0.1))
        self.assertRegex(logs.output[-1], "no keys and revocations from .* within 0.1 s.*hint: ")

    def test_a_clock_that_is_set_back_hides_no_silence(self):
        issuer = self.issuer()
        ahead = 0.0
        verifier = self.verifier(issuer, stale_limit=1.0, clock=lambda: time.time() + ahead)
        token = issuer.token()
        verifier.verify(token)
        verifier.close()
        ahead = -3600.0
        self.until(lambda: verifier.status().is_stale)
        self.assertGreater(verifier.status().silence_secs, 1.0)
        # A token is not accepted for an hour longer because it was seen before, either.
        with self.assertRaises(InvalidToken) as refused:
            verifier.verify(token)
        self.assertEqual(refused.exception.code, "issued_in_future")

    def test_a_statement_that_comes_late_is_as_old_as_it_is(self):
        issuer = self.issuer()
        issuer.ahead = -85
        verifier = self.verifier(issuer)
        self.assertTrue(verifier.ready())
        self.assertFalse(verifier.status().is_stale)
        checker, now = verifier.checker, time.time()
        self.assertFalse(checker.is_stale(30.0, now + 4))
        self.assertTrue(checker.is_stale(30.0, now + 6))

    def test_what_is_wrong_with_the_configuration_is_in_the_log_once_a_minute(self):
        issuer = self.issuer()
        verifier = self.verifier(issuer, audience="https://api.example")
        self.assertTrue(verifier.ready())
        for changes, said in [
            ({"aud": ["https://other.example"]}, "expected the audience 'https://api.example', got .'https://other.example'."),
            ({"iss": "https://id.example"}, f"expected the issuer '{issuer.url}', got 'https://id.example'"),
            ({"iat": int(time.time()) + 100}, "clocks differ by"),
        ]:
            with self.subTest(said), self.assertLogs("doorwarden_verify", "WARNING") as logs:
                for _ in range(3):
                    claims = {"aud": "https://api.example"} | changes
                    self.assertRaises(InvalidToken, verifier.verify, issuer.token(**claims))
                self.assertEqual(len(logs.output), 1)
                self.assertRegex(logs.output[0], said)

    def test_an_issuer_of_another_name_is_in_the_log(self):
        issuer = self.issuer()
        verifier = Verifier("https://id.example", address=issuer.url)
        self.addCleanup(verifier.close)
        with self.assertLogs("doorwarden_verify", "WARNING") as logs:
            self.assertFalse(verifier.ready(0.7))
        said = f"expected the issuer 'https://id.example', got '{issuer.url}'"
        self.assertIn(said, logs.output[0])
        self.assertIn(said, logs.output[-1])

    def test_clocks_that_differ_are_in_the_log(self):
        for ahead, said in [
            (40, r"clocks differ by about (39|40) s: this machine is behind"),
            (-40, r"clocks differ by about 4\d s: this machine is ahead"),
            (100, r"clocks differ by (99|100) s"),
        ]:
            issuer = self.issuer()
            issuer.ahead = ahead
            verifier = self.verifier(issuer)
            with self.subTest(ahead), self.assertLogs("doorwarden_verify", "WARNING") as logs:
                verifier.ready(1.0)
                self.assertRegex("\n".join(logs.output), said)
