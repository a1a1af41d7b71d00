"""Proof of work that the libraries of ALTCHA for Python and for browsers have computed, at the running service."""

import base64
import json
import subprocess
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from altcha.v2 import Challenge, Payload, solve_challenge

from running import missing, service

NODE = Path(__file__).resolve().parent / "altcha"
PASSWORD = "correct horse battery"


class Altcha(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.url = cls.enterClassContext(service())

    def send(self, path, body, **headers):
        headers = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode() if body else None, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def refused(self, name):
        """The challenge for an account at which too many passwords were guessed."""
        email = f"{name}@example.com"
        status, _ = self.send("/registration", {"email": email, "username": name, "password": PASSWORD})
        self.assertEqual(status, 201)
        for _ in range(30):
            status, answer = self.send("/login", {"email": email, "password": "a wrong battery"})
            if status == 429:
                return {"email": email, "password": PASSWORD}, answer["proof_of_work"]
        self.fail("thirty wrong passwords were compared")

    def by_python(self, challenge):
        challenge = Challenge.from_dict(challenge)
        return Payload(challenge, solve_challenge(challenge)).to_base64()

    def by_node(self, challenge):
        if not (NODE / "node_modules").is_dir():
            missing("altcha", f"npm --prefix {NODE} ci --ignore-scripts")
        command = ["node", "solve.js"]
        done = subprocess.run(command, cwd=NODE, input=json.dumps(challenge), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_solutions_of_both_libraries_count(self):
        for name, solve in (("python", self.by_python), ("node", self.by_node)):
            login, challenge = self.refused(name)
            work = solve(challenge)
            status, answer = self.send("/login", {**login, "altcha": work})
            self.assertEqual(status, 200, (name, answer))

    def test_a_solution_counts_once_and_for_its_account(self):
        login, challenge = self.refused("once")
        work = self.by_python(challenge)
        # Now, since the other account's wait is short.
        other, _ = self.refused("other")
        self.assertEqual(self.send("/login", {**other, "altcha": work})[0], 429)
        wrong = {**login, "password": "a wrong battery"}
        # The wait may be over by now: then no work is needed, and none is used up.
        while self.send("/login", wrong)[0] != 429:
            pass
        self.assertEqual(self.send("/login", wrong, **{"X-Altcha": work})[0], 400)
        self.assertEqual(self.send("/login", {**login, "altcha": work})[0], 429)

    def test_a_key_that_lacks_the_prefix_does_not_count(self):
        login, challenge = self.refused("lazy")
        lazy = {**challenge, "parameters": {**challenge["parameters"], "keyPrefix": ""}}
        work = json.loads(base64.b64decode(self.by_python(lazy)))
        work["challenge"] = challenge
        payload = base64.b64encode(json.dumps(work).encode()).decode()
        self.assertEqual(self.send("/login", {**login, "altcha": payload})[0], 429)

    def test_a_challenge_may_be_asked_for_before(self):
        status, challenge = self.send("/pow/challenge?for=registration", None)
        self.assertEqual(status, 200)
        self.assertEqual(challenge["parameters"]["data"], {"p": "registration"})
        parameters = Challenge.from_dict(challenge).parameters
        self.assertEqual((parameters.algorithm, parameters.key_prefix), ("PBKDF2/SHA-256", "00"))
        self.assertEqual(self.send("/pow/challenge", None)[0], 400)


if __name__ == "__main__":
    unittest.main()
