"""Other people's libraries verify the service's access tokens: with each algorithm, after a rotation of the keys, and after an emergency.

What the table in docs/verifying.md says must hold: a library that is said to read an algorithm accepts, one that is said not to refuses.
Starts services of its own. The libraries of npm are in consumers/, the one for Rust is an example of doorwarden-token.
"""

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

import jose.jwt
import joserfc.jwk
import joserfc.jwt
import jwcrypto.jwk
import jwcrypto.jwt
import jwt
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator

ROOT = Path(__file__).resolve().parents[2]
DOORWARDEN = os.environ["DOORWARDEN_TEST_BINARY"]
CONSUMERS = Path(__file__).resolve().parent / "consumers"
EXAMPLE = Path(DOORWARDEN).parent / "examples" / "jsonwebtoken"
ALGORITHMS = ["ES256", "RS256", "EdDSA"]
# What the services offer, the first one signs.
OFFERED = [["ES256"], ["RS256"], ["EdDSA"], ["ES256", "EdDSA"], ["EdDSA", "RS256"]]
AUDIENCE = "https://api.example"
RUST = "jsonwebtoken (Rust)"
ACCEPTS, REFUSES = "accepts", "refuses: "


class Service:
    """A Doorwarden whose keys are of these algorithms."""

    def __init__(self, folder, algorithms):
        self.algorithms = algorithms
        with socket.create_server(("127.0.0.1", 0)) as place:
            self.url = f"http://127.0.0.1:{place.getsockname()[1]}"
        self.database = folder / f"{'-'.join(algorithms)}.db"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARDEN_")}
        self.environment = kept | {
            "DOORWARDEN_LISTEN": self.url.removeprefix("http://"),
            "DOORWARDEN_DATABASE_URL": f"sqlite://{self.database}",
            "DOORWARDEN_KEYS_ALGORITHM": ",".join(algorithms),
            "DOORWARDEN_TOKENS_AUDIENCE": AUDIENCE,
        }
        self.log = open(folder / f"{self.database.name}.log", "w")
        self.process = subprocess.Popen([DOORWARDEN, "serve"], env=self.environment, stdout=self.log, stderr=self.log)

    def begin(self):
        """Waits until it listens, and registers somebody."""
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(self.url.rsplit(":", 1)[1]))).close()
                break
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.05)
        self.account = {"email": "jane@example.com", "username": "jane", "password": "correct horse battery"}
        self.call("/registration", self.account)

    def end(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()

    def call(self, path, body=None):
        request = urllib.request.Request(self.url + path, body and json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def jwks(self):
        return self.call("/.well-known/jwks.json")

    def token(self):
        return self.call("/token", self.account)["access"]

    def token_of_another_key(self, than):
        end = time.monotonic() + 10
        while True:
            token = self.token()
            if kid(token) != kid(than):
                return token
            if time.monotonic() > end:
                raise AssertionError("no other key signs")
            time.sleep(0.1)

    def wait_for_announced(self, than):
        """Until the set has a key that is neither of this token nor of those before, and of its algorithm."""
        algorithm = self.algorithms[0]
        end = time.monotonic() + 10
        while True:
            keys = [key["kid"] for key in self.jwks()["keys"] if key["alg"] == algorithm]
            if kid(than) in keys and len(keys) > 2:
                return
            if time.monotonic() > end:
                raise AssertionError("no key is announced")
            time.sleep(0.1)

    def command(self, *arguments):
        subprocess.run([DOORWARDEN, *arguments], env=self.environment, check=True, stdout=subprocess.DEVNULL, timeout=20)

    def rotate(self):
        """As if the time for which a key is announced had passed."""
        self.command("key", "rotate")
        with sqlite3.connect(self.database, timeout=10) as database:
            now = time.time_ns() // 1000
            database.execute(
                "UPDATE doorwarden_keys SET signs_from = ? WHERE signs_from > ? AND revoked_at IS NULL AND algorithm = ?",
                (now, now, self.algorithms[0]),
            )
        database.close()


def kid(token):
    return jwt.get_unverified_header(token)["kid"]


class Lines:
    """A process that answers each line with a line."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self.read()

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def pyjwt(expected, token, keys):
    """Its client has a cache of its own."""
    jwt.decode(token, keys.get_signing_key_from_jwt(token), algorithms=expected["algorithms"], audience=expected["audience"], issuer=expected["issuer"])


def authlib(expected, token, jwks):
    class Validator(JWTBearerTokenValidator):
        def get_jwks(self):
            return jwks

    validator = Validator(issuer=expected["issuer"], resource_server=expected["audience"])
    validator.validate_token(validator.authenticate_token(token), None, None)


def python_jose(expected, token, jwks):
    # Given the whole set it fails at the first key of another kind.
    (key,) = [key for key in jwks["keys"] if key["kid"] == kid(token)]
    jose.jwt.decode(token, key, algorithms=expected["algorithms"], audience=expected["audience"], issuer=expected["issuer"])


def joserfc_(expected, token, jwks):
    found = joserfc.jwt.decode(token, joserfc.jwk.KeySet.import_key_set(jwks), algorithms=expected["algorithms"])
    claims = {"iss": {"essential": True, "value": expected["issuer"]}, "aud": {"essential": True, "value": expected["audience"]}}
    joserfc.jwt.JWTClaimsRegistry(**claims).validate(found.claims)


def jwcrypto_(expected, token, jwks):
    keys = jwcrypto.jwk.JWKSet.from_json(json.dumps(jwks))
    claims = {"iss": expected["issuer"], "aud": expected["audience"], "exp": None}
    jwcrypto.jwt.JWT(jwt=token, key=keys, algs=expected["algorithms"], check_claims=claims)


IN_PYTHON = {"PyJWT": pyjwt, "Authlib": authlib, "python-jose": python_jose, "joserfc": joserfc_, "jwcrypto": jwcrypto_}


class Consumer:
    """A library beside one service. Where it has no cache of its own, it has the key set of the time when it was made."""

    def __init__(self, name, service, lines):
        self.name, self.service, self.lines = name, service, lines
        self.expected = {"issuer": service.url, "algorithms": service.algorithms}
        self.make_anew()

    def make_anew(self):
        """As after the end of its cache."""
        self.is_new = True
        if self.name == "PyJWT":
            self.keys = jwt.PyJWKClient(f"{self.service.url}/.well-known/jwks.json", lifespan=3600)
        else:
            self.keys = self.service.jwks()

    def verdict(self, token, audience=AUDIENCE):
        """"accepts", or why not."""
        expected = self.expected | {"audience": audience}
        if self.name in IN_PYTHON:
            try:
                IN_PYTHON[self.name](expected, token, self.keys)
            except Exception as error:
                return f"refuses: {error!r}"
            return ACCEPTS
        if self.name == RUST:
            question = expected | {"token": token, "jwks": self.keys}
        else:
            question = expected | {"token": token, "consumer": self.name, "service": self.service.url, "forget": self.is_new}
            self.is_new = False
        answer = self.lines.ask(question)
        return ACCEPTS if answer["accepts"] else f"refuses: {answer['reason']}"


def documented():
    """The table of docs/verifying.md: which algorithms each library is said to read."""
    text = (ROOT / "docs" / "verifying.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \|" + r" (yes|no) \|" * len(ALGORITHMS), text, re.MULTILINE)
    return {name.strip(): dict(zip(ALGORITHMS, (word == "yes" for word in words))) for name, *words in rows}


@unittest.skipUnless((CONSUMERS / "node_modules").exists(), "the libraries of npm are not installed")
class Matrix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.services = []
        for algorithms in OFFERED:
            service = Service(Path(folder.name), algorithms)
            cls.addClassCleanup(service.end)
            cls.services.append(service)
        rust, node = Lines(str(EXAMPLE)), Lines(shutil.which("node"), str(CONSUMERS / "consumers.js"))
        cls.addClassCleanup(rust.end)
        cls.addClassCleanup(node.end)
        cls.lines = {RUST: rust} | dict.fromkeys(IN_PYTHON) | dict.fromkeys(node.read(), node)
        cls.table = documented()
        for service in cls.services:
            service.begin()

    def test_the_table_names_every_library(self):
        self.assertEqual(set(self.table), set(self.lines))

    def test_each_library_does_what_the_table_says(self):
        for service in self.services:
            consumers = [Consumer(name, service, lines) for name, lines in self.lines.items()]

            def each(state, token, does=ACCEPTS, **changes):
                for consumer in consumers:
                    reads = self.table[consumer.name][service.algorithms[0]]
                    with self.subTest(consumer.name, algorithms=service.algorithms, state=state):
                        pattern = f"^{does if reads else REFUSES}"
                        self.assertRegex(consumer.verdict(token, **changes), pattern)

            def make_anew():
                for consumer in consumers:
                    consumer.make_anew()

            first = service.token()
            each("fresh", first)
            each("for somebody else", first, REFUSES, audience="https://other.example")

            # With the key set of before: the next key was announced in it.
            service.rotate()
            second = service.token_of_another_key(first)
            each("after a rotation", second)
            each("of the key before", first)
            service.wait_for_announced(second)
            make_anew()
            each("after a rotation, anew", second)

            service.command("key", "revoke", kid(second), "--yes")
            third = service.token_of_another_key(second)
            each("after an emergency", third)
            make_anew()
            each("after an emergency, anew", third)
            each("of the key that leaked", second, REFUSES)


if __name__ == "__main__":
    unittest.main()
