"""Requests to the service beside which the tests run: scripts/service."""

import itertools
import json
import os
import time
import urllib.error
import urllib.request

URL = os.environ["DOORWARDEN_TEST_URL"]
PASSWORD = "correct horse 9"
_numbers = itertools.count()


def call(path, body=None, token=None):
    """The JSON of an answer that must be a success."""
    request = urllib.request.Request(URL + path, None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    for patience in range(20, -1, -1):
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            # A busy machine hashes no password in time.
            if error.code != 503 or not patience:
                raise
            time.sleep(0.5)


def register():
    """A new user: his address and his id."""
    name = f"user{os.getpid()}x{next(_numbers)}x{time.time_ns()}"
    email = f"{name}@example.com"
    session = call("/registration", {"email": email, "username": name, "password": PASSWORD})
    return email, call("/me", token=session["token"])["id"]


def log_in(email):
    return call("/token", {"email": email, "password": PASSWORD})


def log_out(pair):
    call("/token/revoke", {"refresh": pair["refresh"]})
