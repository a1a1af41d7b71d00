"""PyJWT reads the service's tokens, and the service reads PyJWT's. Runs beside a service: scripts/service."""

import json
import os
import time
import unittest
import urllib.error
import urllib.request

import jwt

URL = os.environ["DOORWARDEN_TEST_URL"]
SECRET = os.environ["DOORWARDEN_SECRET_KEY"]
SIXTY_DAYS = 60 * 24 * 60 * 60


def call(path, token=None, body=None):
    """The status and the JSON of the answer."""
    request = urllib.request.Request(URL + path, None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


class PyJwt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        account = {"email": "pyjwt@example.com", "username": "pyjwt", "password": "correct horse 9"}
        status, answer = call("/registration", body=account)
        if status != 201:
            raise RuntimeError(f"cannot register: {status} {answer}")
        cls.token = answer["token"]
        _, cls.me = call("/me", cls.token)

    def test_reads_the_tokens_of_the_service(self):
        before = int(time.time())
        _, answer = call("/login", body={"email": "pyjwt@example.com", "password": "correct horse 9"})
        self.assertEqual(jwt.get_unverified_header(answer["token"])["alg"], "HS256")
        claims = jwt.decode(answer["token"], SECRET, algorithms=["HS256"], options={"require": ["exp", "iat", "jti"]})
        self.assertEqual(claims["id"], self.me["id"])
        self.assertAlmostEqual(claims["exp"], before + SIXTY_DAYS, delta=10)

    def test_refuses_the_tokens_of_the_service_under_another_secret(self):
        with self.assertRaises(jwt.InvalidSignatureError):
            jwt.decode(self.token, "another secret of thirty-two bytes or more", algorithms=["HS256"])

    def test_its_tokens_are_read_by_the_service(self):
        now = int(time.time())
        token = jwt.encode({"id": self.me["id"], "exp": now + 60}, SECRET, algorithm="HS256")
        status, me = call("/me", token)
        self.assertEqual((status, me.get("id")), (200, self.me["id"]))

    def test_its_tokens_under_another_secret_or_algorithm_are_refused(self):
        claims = {"id": self.me["id"], "exp": int(time.time()) + 60}
        for key, algorithm in [("another secret of thirty-two bytes or more", "HS256"), (SECRET, "HS512"), (None, "none")]:
            with self.subTest(algorithm=algorithm):
                self.assertEqual(call("/me", jwt.encode(claims, key, algorithm=algorithm))[0], 401)

    def test_its_expired_tokens_are_refused(self):
        token = jwt.encode({"id": self.me["id"], "exp": int(time.time()) - 1}, SECRET, algorithm="HS256")
        self.assertEqual(call("/me", token)[0], 401)


if __name__ == "__main__":
    unittest.main()
