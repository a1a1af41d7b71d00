#!/usr/bin/env python3
"""Replay the conformance cases against a running Doorwarden, and judge the answers.

    replay.py [CASES] --url http://127.0.0.1:PORT --cli PROGRAM --database FILE-OR-URL --secret KEY

Start from an empty database. What a case wants done before its request goes through POST /registration, through the
command line (PROGRAM runs with this environment) and through SQL. Prints each failure, and last `N passed, N failed`.
README.md beside this file describes the cases. Needs nothing but the standard library, and psql for PostgreSQL.
"""

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import pathlib
import re
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.parse

FRESHNESS = 0.3  # seconds; the service itself promises 0.1
DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
# Cases whose answer holds a token that a later one sends.
TOKENS_KEPT = {"registration/ok-trailing-slash": "bob@example.com", "login/ok": "alice@example.com"}


class Service:
    """The running service, and the ways to it besides its port."""

    def __init__(self, url, cli, database, secret):
        parts = urllib.parse.urlsplit(url)
        self.address = (parts.hostname, parts.port)
        self.cli = cli
        self.database = database
        self.secret = secret

    def send(self, request, authorization=None):
        """Send a case's request as it is written; status 0 when there is no HTTP answer."""
        body = request_body(request)
        headers = [(name, value.encode("latin-1")) for name, value in request["headers"]]
        if authorization is not None:
            headers.append(("Authorization", authorization.encode("latin-1", "replace")))
        if any(name.lower() == "transfer-encoding" for name, _ in headers):
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        elif body is not None:
            headers.append(("Content-Length", b"%d" % len(body)))
        headers = [("Host", b"%s:%d" % (self.address[0].encode(), self.address[1])), *headers, ("Connection", b"close")]
        head = b"%s %s HTTP/1.1\r\n" % (request["method"].encode(), request["path"].encode())
        head += b"".join(name.encode() + b": " + value + b"\r\n" for name, value in headers) + b"\r\n"

        with socket.create_connection(self.address, timeout=20) as connection:
            try:
                connection.sendall(head + (body or b""))
            except OSError:
                pass  # refused before the end of the body: the answer is there to be read
            try:
                response = http.client.HTTPResponse(connection, method=request["method"])
                response.begin()
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                return 0, {}, repr(error).encode()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, data

    def register(self, email, username, password):
        request = {
            "method": "POST",
            "path": "/registration",
            "headers": [["Content-Type", "application/json"]],
            "body": json.dumps({"email": email, "username": username, "password": password}),
        }
        status, _, data = self.send(request)
        if status != 201:
            raise RuntimeError(f"cannot register {email}: {status} {data[:200]!r}")

    def change_password(self, email, password):
        command = [*self.cli, "changepassword", email, "--password-stdin"]
        done = subprocess.run(command, input=password + "\n", capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stdout[-200:]} {done.stderr[-300:]}")

    def sql(self, statement, *values):
        """Run SQL by hand, with a `?` for each value; the rows."""
        if self.database.startswith("postgres"):
            for value in values:
                statement = statement.replace("?", literal(value), 1)
            command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", self.database, "--command", statement]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            return [[int(cell) for cell in line.split("|")] for line in done.stdout.splitlines()]
        connection = sqlite3.connect(self.database, timeout=10)
        try:
            with connection:
                return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def user_id(self, email):
        rows = self.sql("SELECT id FROM users WHERE lower(email) = lower(?)", email)
        return rows[0][0] if rows else 10**9

    def update(self, column, value, email):
        self.sql(f"UPDATE users SET {column} = ? WHERE lower(email) = lower(?)", value, email)


def literal(value):
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + str(value).replace("'", "''") + "'"


def request_body(request):
    if "body" in request:
        return request["body"].encode()
    if "body_b64" in request:
        return base64.b64decode(request["body_b64"])
    if "body_gen" in request:
        parts = request["body_gen"]
        return (parts.get("prefix", "") + parts["repeat"] * parts["times"] + parts.get("suffix", "")).encode()
    return None


def prepare(service, step):
    """Do one `pre` step and wait until the service must know."""
    operation, email = step["op"], step["email"]
    if operation == "create":
        service.register(email, step["username"], step["password"] or "temporary pass 1")
        if step["password"] is None:
            service.update("password", "!unusable", email)
        if step.get("is_active") is False:
            service.update("is_active", False, email)
    elif operation == "active":
        service.update("is_active", step["value"], email)
    elif operation == "password":
        service.change_password(email, step["password"])
    elif operation == "rawhash":
        service.update("password", step["hash"], email)
    elif operation == "oldhash":
        salt, rounds = step["salt"], step["iterations"]
        key = hashlib.pbkdf2_hmac("sha256", step["password"].encode(), salt.encode(), rounds)
        service.update("password", f"pbkdf2_sha256${rounds}${salt}${base64.b64encode(key).decode()}", email)
    elif operation == "delete":
        service.sql("DELETE FROM users WHERE lower(email) = lower(?)", email)
    else:
        raise ValueError(f"unknown step {operation}")
    time.sleep(FRESHNESS)


def authorization(service, spec, kept):
    """The Authorization header that a `token_spec` describes."""
    if "from" in spec:
        return "Bearer " + kept[spec["from"]]
    claims = filled(service, spec.get("claims"))
    if isinstance(claims, dict) and claims.get("id") == 1 and claims["id"] is not True:
        claims["id"] = service.user_id("alice@example.com")
    header = segment(spec["header"])
    payload = base64url(spec["raw_payload"].encode()) if "raw_payload" in spec else segment(claims)

    algorithm = spec.get("sign") or (spec["header"].get("alg") if isinstance(spec["header"], dict) else None)
    key = service.secret if spec["key"] == "$secret" else spec["key"]
    signature = ""
    if key is not None and (algorithm or "").lower() != "none":
        signed = f"{header}.{payload}".encode()
        signature = base64url(hmac.new(key.encode(), signed, DIGESTS[algorithm]).digest())

    token = tampered(spec.get("tamper"), header, payload, signature)
    return spec.get("prefix", "") + spec["scheme"] + spec["sep"] + token + spec.get("suffix", "")


def tampered(how, header, payload, signature):
    token = f"{header}.{payload}.{signature}"
    if how == "signature":
        return token[:-10] + ("B" if token[-10] == "A" else "A") + token[-9:]
    if how == "strip":
        return f"{header}.{payload}."
    if how == "two-segments":
        return f"{header}.{payload}"
    if how == "pad":
        return token + "="
    if how == "payload":
        return f"{header}.{segment({'id': 1, 'exp': 4102444800, 'x': 1})}.{signature}"
    return token


def filled(service, value):
    """Claims with their `$now…` and `$id…` replaced."""
    if isinstance(value, dict):
        return {name: filled(service, member) for name, member in value.items()}
    if isinstance(value, list):
        return [filled(service, member) for member in value]
    if not isinstance(value, str):
        return value
    if match := re.fullmatch(r"\$(id|idstr):(.+)", value):
        user_id = service.user_id(match[2])
        return user_id if match[1] == "id" else str(user_id)
    if match := re.fullmatch(r"\$(now|nowstr|nowfloat)([+-]\d+)", value):
        at = int(time.time()) + int(match[2])
        return {"now": at, "nowstr": str(at), "nowfloat": at + 0.5}[match[1]]
    return value


def segment(value):
    return base64url(json.dumps(value, separators=(",", ":")).encode())


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def complaint(case, status, headers, data):
    """What is wrong with the answer, or None."""
    expect = case["expect"]
    if status not in expect["status"]:
        return f"status {status}, expected {expect['status']}: {data[:200]!r}"
    if status == 401:
        for name, start in expect.get("header", {}).items():
            if not headers.get(name, "").startswith(start):
                return f"header {name}: {headers.get(name)!r}, expected {start!r}"
    if case["request"]["method"] == "HEAD" or expect["body"].get("any"):
        return None
    try:
        body = json.loads(data)
    except ValueError:
        return f"not JSON: {data[:200]!r}"
    if fits(expect["body"], body):
        return None
    return f"body {json.dumps(body, ensure_ascii=False)[:300]}, expected {json.dumps(expect['body'], ensure_ascii=False)[:300]}"


def fits(expected, body):
    if "json" in expected:
        return body == expected["json"]
    if not isinstance(body, dict):
        return False
    if "token" in expected:
        return str(body.get("token", "")).count(".") == 2
    if "contains" in expected:
        return all(body.get(name) == value for name, value in expected["contains"].items() if name != "id")
    if "errors_on" in expected:
        return sorted(body) == sorted(expected["errors_on"]) and all(isinstance(v, list) and v for v in body.values())
    detail = body.get("detail")
    return isinstance(detail, str) and detail.startswith(expected.get("detail_starts", ""))


def replay(service, cases):
    """Run the cases in order; give the number that passed and the number that failed."""
    kept, passed, failed = {}, 0, 0
    for case in cases:
        try:
            for step in case["pre"]:
                prepare(service, step)
            token = authorization(service, case["token_spec"], kept) if case["token_spec"] else None
            status, headers, data = service.send(case["request"], token)
            wrong = complaint(case, status, headers, data)
            if wrong is None and case["name"] in TOKENS_KEPT:
                kept[TOKENS_KEPT[case["name"]]] = json.loads(data)["token"]
        except Exception as error:  # one broken case must not end the others
            wrong = f"could not be run: {error!r}"
        if wrong is None:
            passed += 1
        else:
            failed += 1
            print(f"FAILED {case['name']}: {wrong}")
    return passed, failed


def main():
    here = pathlib.Path(__file__).parent
    parser = argparse.ArgumentParser(description="Replay the conformance cases against a running Doorwarden.")
    parser.add_argument("cases", nargs="?", type=pathlib.Path, default=here / "cases.jsonl")
    parser.add_argument("--url", required=True, help="where the service listens")
    parser.add_argument("--cli", required=True, nargs="+", help="the program, run with this environment")
    parser.add_argument("--database", required=True, help="the service's SQLite file, or the URL of its PostgreSQL database")
    parser.add_argument("--secret", required=True, help="the service's secret key")
    arguments = parser.parse_args()

    service = Service(arguments.url, arguments.cli, arguments.database, arguments.secret)
    with arguments.cases.open(encoding="utf-8") as lines:
        passed, failed = replay(service, [json.loads(line) for line in lines])
    print(f"conformance: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
