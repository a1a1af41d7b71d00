"""The issuer behind TLS, with a certificate of an authority of one's own."""

import os
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
import unittest
from urllib.parse import urlsplit

from .service import URL, log_in, register

CLIENT = pathlib.Path(__file__).parents[1]
TLS = CLIENT.parents[1] / "tests" / "tls"
CODE = """
import sys
from doorwarden_verify import Verifier

issuer, address, token = sys.argv[1:]
verifier = Verifier(issuer, address=address)
print(verifier.ready(3.0) and verifier.verify(token)["sub"])
"""


class Front:
    """Ends TLS before the service."""

    def __init__(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
        self.socket = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.address = f"https://localhost:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.socket.accept()[0]
            except ssl.SSLError:
                continue
            except OSError:
                return
            far = socket.create_connection((urlsplit(URL).hostname, urlsplit(URL).port))
            for source, to in [(near, far), (far, near)]:
                threading.Thread(target=self.pass_on, args=(source, to), daemon=True).start()

    @staticmethod
    def pass_on(source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
        except OSError:
            pass
        for one in (source, to):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class PrivateAuthority(unittest.TestCase):
    def setUp(self):
        self.front = Front()
        self.addCleanup(self.front.socket.close)
        email, self.id = register()
        self.token = log_in(email)["access"]

    def ask(self, **environment):
        """What a process of its own says with this environment."""
        command = [sys.executable, "-c", CODE, URL, self.front.address, self.token]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT_")}
        environment = kept | {"PYTHONPATH": str(CLIENT)} | environment
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        return done.stdout.strip(), done.stderr

    def test_it_is_believed_only_where_the_environment_says_so(self):
        said, log = self.ask()
        self.assertEqual(said, "False")
        self.assertRegex(log, "(?i)certificate.*hint: ")
        self.assertEqual(self.ask(SSL_CERT_FILE=str(TLS / "authority.pem"))[0], str(self.id))
