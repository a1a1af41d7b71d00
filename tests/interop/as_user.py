"""Lets schemathesis call as a user, and as a service where one is asked for. Loaded by its SCHEMATHESIS_HOOKS."""

import base64
import os
import time

import jwt
import schemathesis
from running import CLIENT, CLIENT_SECRET

SECRET = os.environ["DOORWARDEN_TEST_SECRET"]
USER = int(os.environ["DOORWARDEN_TEST_USER"])


@schemathesis.auth(refresh_interval=1)
class Bearer:
    """A token of no session, which no log-out among the requests takes away for long."""

    def get(self, case, context):
        now = int(time.time())
        return jwt.encode({"id": USER, "exp": now + 600, "iat": now}, SECRET, algorithm="HS256")

    def set(self, case, data, context):
        case.headers = case.headers or {}
        if case.path.startswith("/oauth/"):
            basic = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
            case.headers["Authorization"] = f"Basic {basic}"
        else:
            case.headers["Authorization"] = f"Bearer {data}"
