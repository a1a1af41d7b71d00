"""Logins with a second factor beside logins without: what the code of an authenticator app costs."""

import base64
import hashlib
import hmac
import json
import statistics
import struct
import time
import urllib.error

from . import service


def factors(bench):
    # Where mails are sent, an address is proved before the first factor; with another issuer than the loopback none are.
    issuer = {"DOORWARDEN_TOKENS_ISSUER": "https://accounts.example.org"}
    with service.doorwarden(bench, f"sqlite://{bench.folder('factors') / 'accounts.db'}", **issuer) as product:
        one_database(bench, "SQLite", product)
    with service.postgres(bench) as url, service.doorwarden(bench, url, **issuer) as product:
        one_database(bench, "PostgreSQL", product)


def one_database(bench, name, product):
    """One login of each kind in turn. A code is good once, so each login with one is of another user."""
    users = [enrolled(product, number) for number in range(bench.rounds(60))]
    product.register("plain")
    without, steps, both = [], [], []
    for user, secret in users:
        begin = time.perf_counter()
        product.post("/login", credentials("plain"))
        without.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        token = pending(product, user)
        middle = time.perf_counter()
        # The code of the step that follows the one with which the app was confirmed.
        product.post("/login/verify", {"login_token": token, "method": "totp", "code": code(secret, 1)})
        end = time.perf_counter()
        steps.append(end - middle)
        both.append(end - begin)
    alone = statistics.median(without)
    bench.row(f"login without a factor, {name}", alone * 1000, "ms p50")
    bench.row(f"login with a code of an app, {name}", statistics.median(both) * 1000, "ms p50", statistics.median(both) / alone, note=f"the second request {statistics.median(steps) * 1000:.1f} ms")


def credentials(user):
    return {"email": f"{user}@example.com", "password": service.PASSWORD}


def pending(product, user):
    """The login token of a login that waits for its second factor."""
    try:
        product.post("/login", credentials(user))
    except urllib.error.HTTPError as error:
        return json.load(error)["login_token"]
    raise RuntimeError("the login asks for no second factor")


def enrolled(product, number):
    user = f"user{number}"
    token = product.register(user)
    begun = product.post("/factors/totp", {"name": "App"}, token)
    product.post(f"/factors/totp/{begun['id']}/confirm", {"code": code(begun["secret"])}, token)
    return user, begun["secret"]


def code(secret, later=0):
    """RFC 6238, so many steps from now."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, struct.pack(">Q", int(time.time()) // 30 + later), hashlib.sha1).digest()
    offset = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[offset : offset + 4])[0] & 0x7FFFFFFF) % 10**6:06}"
