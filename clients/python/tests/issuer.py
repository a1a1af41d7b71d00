"""An issuer under the control of a test: its keys, its statements, its faults."""

import http.server
import json
import threading
import time

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

STATEMENT = "revocations.v2+jwt"


class Issuer:
    """`faults` holds any of: "hang" and "hang keys" (accepts and never answers), "no stream" (404), "buffered" (the stream says nothing
    but comments), "broken stream" (it ends what is open), "no feed" (500)."""

    def __init__(self, *faults):
        self.faults = set(faults)
        self.keys = {"k": Ed25519PrivateKey.generate()}
        self.signs = "k"
        self.ahead = 0
        self.says = {}
        # Path and header fields of each request.
        self.requests = []
        self.changed = threading.Condition()
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.requests.append((self.path, self.headers))
                try:
                    issuer.answer(self)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.set_faults()
        self.server.shutdown()
        self.server.server_close()

    def set_faults(self, *faults):
        with self.changed:
            self.faults = set(faults)
            self.changed.notify_all()

    def revoke(self, **says):
        with self.changed:
            self.says = says
            self.changed.notify_all()

    def count(self, path):
        return sum(asked == path for asked, _ in self.requests)

    def token(self, kid=None, **changes):
        now = int(time.time())
        claims = {"iss": self.url, "sub": "7", "aud": self.url, "exp": now + 300, "iat": now, "jti": "a", "client_id": "web", **changes}
        key = self.keys.get(kid or self.signs) or Ed25519PrivateKey.generate()
        return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": kid or self.signs, "typ": "at+jwt"})

    def statement(self):
        now = int(time.time()) + self.ahead
        claims = {"iss": self.url, "iat": now, "exp": now + 30, "window": 375, "sessions": [], "users": [], "keys": [], **self.says}
        return jwt.encode(claims, self.keys[self.signs], algorithm="EdDSA", headers={"kid": self.signs, "typ": STATEMENT})

    def answer(self, to):
        hangs = "hang" in self.faults or ("hang keys" in self.faults and to.path == "/.well-known/jwks.json")
        if hangs:
            with self.changed:
                self.changed.wait_for(lambda: not self.faults, 60)
            return
        if to.path == "/.well-known/jwks.json":
            to_jwk = jwt.algorithms.OKPAlgorithm.to_jwk
            keys = [
                {**to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": "EdDSA", "use": "sig"} for kid, key in self.keys.items()
            ]
            self.send(to, 200, "application/json", json.dumps({"keys": keys}))
        elif "no feed" in self.faults:
            self.send(to, 500, "text/plain", "")
        elif to.path == "/.well-known/revocations":
            self.send(to, 200, "application/jwt", self.statement())
        elif "no stream" in self.faults:
            self.send(to, 404, "text/plain", "")
        else:
            self.stream(to)

    def send(self, to, status, kind, text):
        to.send_response(status)
        to.send_header("Content-Type", kind)
        to.send_header("Content-Length", str(len(text)))
        to.end_headers()
        to.wfile.write(text.encode())

    def stream(self, to):
        to.send_response(200)
        to.send_header("Content-Type", "text/event-stream")
        to.end_headers()
        while not self.faults & {"broken stream", "no feed"}:
            with self.changed:
                said = self.says, self.faults
            is_buffered = "buffered" in self.faults
            to.wfile.write(b": still here\n\n" if is_buffered else f"data: {self.statement()}\n\n".encode())
            to.wfile.flush()
            with self.changed:
                self.changed.wait_for(lambda: (self.says, self.faults) != said, 1.0 if is_buffered else 5.0)
