"""A front end on another origin, in Chromium: what it must send is let through, and what it must read can be read."""

import functools
import http.server
import tempfile
import threading
import unittest
from pathlib import Path

from altcha.v2 import Challenge, Payload, solve_challenge

from browser import PATIENCE, chromium, complaints, need_browser
from running import EMAIL, free_port, service

PASSWORD = "correct horse battery"
SEND = """
    const [url, method, body, headers, done] = arguments;
    const options = {method, headers: {"Content-Type": "application/json", ...headers}};
    if (body) options.body = JSON.stringify(body);
    fetch(url, options)
        .then(async (answer) => done({status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.json()}))
        .catch((error) => done({error: String(error)}));
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class CrossOrigin(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need_browser()
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        Path(folder, "index.html").write_text("<!doctype html><html lang=en><title>Front end</title>")
        front_end = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), functools.partial(Quiet, directory=folder))
        cls.addClassCleanup(front_end.server_close)
        threading.Thread(target=front_end.serve_forever, daemon=True).start()
        cls.addClassCleanup(front_end.shutdown)
        origin = f"http://localhost:{front_end.server_address[1]}"
        cls.url = cls.enterClassContext(service(DOORWARDEN_HTTP_CORS_ORIGINS=origin))
        cls.browser = cls.enterClassContext(chromium())
        cls.browser.set_script_timeout(PATIENCE)
        cls.browser.get(origin)

    def send(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.browser.execute_async_script(SEND, self.url + path, method, body, headers)
        self.assertNotIn("error", answer, complaints(self.browser))
        return answer

    def log_in(self, password=PASSWORD, **headers):
        return self.send("POST", "/login", {"email": EMAIL, "password": password}, **headers)

    def test_a_page_sends_and_reads_what_the_documents_tell_it_to(self):
        registered = self.send("POST", "/registration", {"email": EMAIL, "username": "jane", "password": PASSWORD})
        self.assertEqual(registered["status"], 201, registered)
        self.assertIn("x-request-id", registered["headers"])
        token = registered["body"]["token"]
        self.assertEqual(self.send("GET", "/me", Authorization=f"Bearer {token}")["status"], 200)
        self.assertIn("www-authenticate", self.send("GET", "/me")["headers"])
        device = self.log_in()["body"]["device_token"]

        for _ in range(30):
            refused = self.log_in("a wrong battery")
            if refused["status"] == 429:
                break
        self.assertEqual(refused["status"], 429, refused)
        self.assertLessEqual({"ratelimit", "ratelimit-policy", "retry-after"}, set(refused["headers"]))
        self.assertEqual(self.log_in(X_Device_Token=device)["status"], 200)

        while (refused := self.log_in("a wrong battery"))["status"] != 429:
            pass
        challenge = Challenge.from_dict(refused["body"]["proof_of_work"])
        work = Payload(challenge, solve_challenge(challenge)).to_base64()
        self.assertEqual(self.log_in(X_Altcha=work)["status"], 200)
