"""A service of a test's own, a client that reads its mails, and a proxy in front of it."""

import collections
import contextlib
import hashlib
import http.client
import http.server
import json
import os
import re
import secrets
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

BINARY = os.environ["DOORWARDEN_TEST_BINARY"]
CLIENT, CLIENT_SECRET = "blog", "a secret of the blog, long enough"
EMAIL = "jane@example.com"

Mail = collections.namedtuple("Mail", "path subject to")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def missing(what, hint):
    """What cannot run is counted; in CI it is a failure."""
    text = f"{what} was not found. hint: {hint}"
    if os.environ.get("CI") == "true":
        raise RuntimeError(text)
    if "DOORWARDEN_SKIPPED" in os.environ:
        with open(os.environ["DOORWARDEN_SKIPPED"], "a") as skipped:
            skipped.write(text + "\n")
    raise unittest.SkipTest(text)


@contextlib.contextmanager
def service(**settings):
    """The URL of a fresh service on SQLite that knows the OAuth client above."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        environment = {
            "DOORWARDEN_LISTEN": f"127.0.0.1:{port}",
            "DOORWARDEN_METRICS_LISTEN": f"127.0.0.1:{free_port()}",
            "DOORWARDEN_DATABASE_URL": f"sqlite://{folder}/doorwarden.db",
            "DOORWARDEN_SECRET_KEY": secrets.token_hex(32),
            "DOORWARDEN_OAUTH_CLIENTS": f"{CLIENT}={hashlib.sha256(CLIENT_SECRET.encode()).hexdigest()}",
            **settings,
        }
        with open(Path(folder, "log"), "wb") as log:
            process = subprocess.Popen([BINARY, "serve"], env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            url = f"http://{environment['DOORWARDEN_LISTEN']}"
            for _ in range(300):
                if process.poll() is not None:
                    break
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(url + "/healthz", timeout=5).close()
                    break
                time.sleep(0.1)
            else:
                raise RuntimeError("the service does not answer")
            if process.poll() is not None:
                raise RuntimeError(Path(folder, "log").read_text())
            yield url
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Client:
    """What a program does with a service, and with the mails in its mailbox."""

    def __init__(self, url, database, language):
        self.url, self.database, self.language, self.token, self.read = url, database, language, None, set()

    def call(self, method, path, /, **body):
        """Status and JSON of an answer."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode() if body else None, method=method)
        request.add_header("Accept-Language", self.language)
        if body:
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        return status, json.loads(text) if text else None

    def log_in(self, password):
        return self.call("POST", "/login", email=EMAIL, password=password)

    def mail(self, to=EMAIL):
        """The next mail to this address."""
        for _ in range(300):
            with urllib.request.urlopen(self.url + "/dev/mailbox", timeout=20) as answer:
                html = answer.read().decode()
            for mail in map(Mail._make, re.findall(r'<li><a href="([^"]+)">([^<]+)</a>, to ([^,]+),', html)):
                if mail.to == to and mail.path not in self.read:
                    self.read.add(mail.path)
                    return mail
            time.sleep(0.1)
        raise AssertionError(f"no mail to {to}")

    def html(self, mail):
        """The HTML part of a mail."""
        with urllib.request.urlopen(f"{self.url}{mail.path}/html", timeout=20) as answer:
            return answer.read()

    def change(self, statement):
        with contextlib.closing(sqlite3.connect(self.database, timeout=20)) as connection, connection:
            connection.execute(statement)


@contextlib.contextmanager
def stripping_proxy(target, prefix):
    """The URL of a proxy that takes a prefix away, as `location /auth/ { proxy_pass http://doorwarden/; }` does."""
    host = target.removeprefix("http://")

    class Handler(http.server.BaseHTTPRequestHandler):
        def relay(self):
            if not self.path.startswith(prefix + "/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = http.client.HTTPConnection(host, timeout=30)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
            connection.request(self.command, self.path.removeprefix(prefix), body or None, headers)
            answer = connection.getresponse()
            text = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            connection.close()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = relay

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
    finally:
        server.shutdown()
        server.server_close()
