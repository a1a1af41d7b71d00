"""Webhooks of the running service, verified by the official libraries, with the code of docs/webhooks.md; and receivers that fail."""

import contextlib
import http.server
import json
import re
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from standardwebhooks import Webhook, WebhookVerificationError

from running import BINARY, Client, free_port, missing, service

HERE = Path(__file__).resolve().parent
DOCUMENT = (HERE.parents[1] / "docs" / "webhooks.md").read_text()
PASSWORD = "correct horse battery"
NODE = HERE / "webhooks"


def code(language):
    return re.search(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL).group(1)


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps what arrives, and answers with the next of `answers`, else with 204."""

    daemon_threads = True

    def __init__(self):
        receiver = self
        self.got, self.answers = [], []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((body.decode(), {name.lower(): value for name, value in self.headers.items()}, time.time()))
                answer = receiver.answers.pop(0) if receiver.answers else 204
                if answer == "drop":
                    self.close_connection = True
                    self.connection.close()
                    return
                if answer == "slow":
                    time.sleep(3)
                    answer = 204
                self.send_response(answer)
                if answer == 302:
                    self.send_header("Location", receiver.url("/elsewhere"))
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path="/hooks"):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, *_):
        pass

    def wait(self, count, seconds=30):
        """The first messages, as soon as there are so many."""
        end = time.monotonic() + seconds
        while len(self.got) < count:
            if time.monotonic() > end:
                raise AssertionError(f"{len(self.got)} of {count} messages arrived")
            time.sleep(0.02)
        return self.got[:count]


class Webhooks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.environment = {
            "DOORWARDEN_DATABASE_URL": f"sqlite://{cls.folder}/webhooks.db",
            "DOORWARDEN_SECRET_KEY": "a secret key for tests, long enough",
            "DOORWARDEN_WEBHOOKS_ALLOW_PRIVATE": "127.0.0.0/8",
            "DOORWARDEN_REGISTRATION_MODE": "open",
        }
        cls.run_command("migrate")
        cls.url = cls.enterClassContext(service(**cls.environment))

    @classmethod
    def run_command(cls, *arguments, environment=None):
        done = subprocess.run([BINARY, *arguments], env={**cls.environment, **(environment or {})}, cwd=cls.folder, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def setUp(self):
        self.name = self.id().rsplit(".", 1)[1].replace("test_", "")[:40].replace("_", "-")
        self.receiver = Receiver()
        self.addCleanup(self.receiver.server_close)
        self.addCleanup(self.receiver.shutdown)

    def add(self, *types):
        events = [word for kind in types for word in ("--event", kind)]
        self.secret = self.run_command("webhook", "add", self.name, self.receiver.url(), *events)["secret"]
        self.addCleanup(self.run_command, "webhook", "remove", self.name, "--yes")
        # The running service looks for endpoints every few seconds.
        time.sleep(0.1)

    def register(self, name):
        client = Client(self.url, None, "en")
        status, body = client.call("POST", "/registration", email=f"{name}@example.com", username=name, password=PASSWORD)
        self.assertEqual(status, 201, body)
        client.token = body["token"]
        return client

    def deliveries(self):
        return self.run_command("webhook", "deliveries", self.name)

    def until(self, holds):
        end = time.monotonic() + 40
        while not holds(self.deliveries()):
            self.assertLess(time.monotonic(), end, self.deliveries())
            time.sleep(0.1)

    def test_official_libraries_verify(self):
        self.add()
        self.receiver.wait(1)
        client = self.register("jane")
        client.call("POST", "/logout")
        got = self.receiver.wait(4)
        space = {}
        exec(code("python"), space)
        seen = [space["received"](body, headers, self.secret) for body, headers, _ in got]
        self.assertEqual([kind for _, kind, _ in seen], ["webhook.added", "user.created", "session.opened", "session.ended"])
        self.assertTrue(all("." not in message and message.startswith("msg_") for message, _, _ in seen))
        self.assertEqual(len({message for message, _, _ in seen}), 4)
        for body, headers, _ in got:
            self.assertNotRegex(body, "jane|@|battery")
            for wrong in (body.replace("user", "usEr"), body + " "):
                with self.assertRaises(WebhookVerificationError):
                    Webhook(self.secret).verify(wrong, headers)
            with self.assertRaises(WebhookVerificationError):
                Webhook("whsec_" + "A" * 43 + "=").verify(body, headers)
        self.assertEqual(seen, [tuple(event) for event in self.in_node(got)])

    def in_node(self, got):
        if not (NODE / "node_modules").exists():
            missing("npm's standardwebhooks", "npm ci in tests/interop/webhooks")
        lines = "".join(json.dumps({"body": body, "headers": headers, "secret": self.secret}) + "\n" for body, headers, _ in got)
        lines += json.dumps({"body": got[0][0] + " ", "headers": got[0][1], "secret": self.secret}) + "\n"
        done = subprocess.run(["node", "verify.js", code("js")], cwd=NODE, input=lines, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        *answers, wrong = map(json.loads, done.stdout.splitlines())
        self.assertIn("WebhookVerificationError", wrong["error"])
        return [answer["event"] for answer in answers]

    def test_rotation(self):
        self.add("user.created")
        old = self.secret
        new = self.run_command("webhook", "rotate-secret", self.name)["secret"]
        self.assertNotEqual(old, new)
        self.register("rotation")
        [(body, headers, _)] = self.receiver.wait(1)
        self.assertEqual(len(headers["webhook-signature"].split(" ")), 2)
        for secret in (old, new):
            self.assertEqual(Webhook(secret).verify(body, headers)["type"], "user.created")

    def test_failures(self):
        """Each way to fail is followed by the same message, signed anew."""
        self.add("user.created")
        for failure in (500, 302, 400, "drop"):
            self.receiver.got, self.receiver.answers = [], [failure]
            self.register(f"failure-{failure}")
            first, second = self.receiver.wait(2)
            self.assertEqual((first[0], first[1]["webhook-id"]), (second[0], second[1]["webhook-id"]), failure)
            self.assertGreater(int(second[1]["webhook-timestamp"]), int(first[1]["webhook-timestamp"]))
            self.assertNotEqual(first[1]["webhook-signature"], second[1]["webhook-signature"])
            self.assertTrue(4 <= second[2] - first[2] <= 10, second[2] - first[2])
            Webhook(self.secret).verify(second[0], second[1])
        self.until(lambda all: all[0]["state"] == "delivered" and all[0]["attempts"] == 2)

    def test_slow(self):
        """A slow receiver gets its message once, and delays no other endpoint."""
        self.receiver.answers = ["slow"]
        self.add("user.created")
        fast = Receiver()
        self.addCleanup(fast.server_close)
        self.addCleanup(fast.shutdown)
        self.run_command("webhook", "add", "fast", fast.url(), "--event", "user.created")
        self.addCleanup(self.run_command, "webhook", "remove", "fast", "--yes")
        self.receiver.got.clear()
        self.register("slow")
        began = time.monotonic()
        fast.wait(1, 12)
        self.until(lambda all: all[0]["state"] == "delivered")
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual(len(self.receiver.got), 1)

    def test_order(self):
        """The events of the account whose first one fails wait for it; those of another do not."""
        self.add()
        self.receiver.wait(1)
        self.until(lambda all: all[0]["state"] == "delivered")
        self.receiver.got, self.receiver.answers = [], [500]
        first = self.register("order-a")
        first.call("POST", "/logout")
        self.register("order-b")
        got = [json.loads(body) for body, _, _ in self.receiver.wait(6)]
        ids = sorted({event["data"]["user_id"] for event in got})
        of = lambda user: [event["type"] for event in got if event["data"]["user_id"] == user]
        self.assertEqual(of(ids[0]), ["user.created", "user.created", "session.opened", "session.ended"])
        self.assertEqual(of(ids[1]), ["user.created", "session.opened"])
        users = [event["data"]["user_id"] for event in got]
        self.assertLess(users.index(ids[1]), len(users) - 1 - users[::-1].index(ids[0]))

    def test_gone(self):
        self.receiver.answers = [410]
        self.add("user.created")
        self.register("gone")
        self.receiver.wait(1)
        for _ in range(200):
            [listed] = [hook for hook in self.run_command("webhook", "list") if hook["name"] == self.name]
            if listed["state"] == "disabled":
                break
            time.sleep(0.1)
        self.assertEqual((listed["state"], listed["reason"]), ("disabled", "the response was 410"))
        self.register("gone-later")
        time.sleep(3)
        self.assertEqual(len(self.receiver.got), 1)

    def test_test(self):
        self.add("user.deleted")
        tested = self.run_command("webhook", "test", self.name)
        [(body, headers, _)] = self.receiver.wait(1)
        self.assertEqual(tested["id"], headers["webhook-id"])
        self.assertEqual(Webhook(self.secret).verify(body, headers)["type"], "webhook.test")

    def test_private_addresses(self):
        """Without permission nothing on this machine is reached, in whatever form it is written."""
        port = self.receiver.server_port
        hosts = ["127.0.0.1", "[::1]", "169.254.169.254", "[::ffff:127.0.0.1]", "10.0.0.1", "[fd00::1]", "0.0.0.0", "2130706433", "0x7f000001", "127.1"]
        for host in hosts:
            for scheme in ("http", "https"):
                with self.assertRaisesRegex(AssertionError, "the URL of webhook"):
                    self.run_command("webhook", "add", "private", f"{scheme}://{host}:{port}/", environment={"DOORWARDEN_WEBHOOKS_ALLOW_PRIVATE": ""})
        # A name tells only when it is resolved.
        refusing = {"DOORWARDEN_WEBHOOKS_ALLOW_PRIVATE": ""}
        self.run_command("webhook", "add", "private", f"https://localhost:{port}/", environment=refusing)
        self.addCleanup(self.run_command, "webhook", "remove", "private", "--yes")
        with self.assertRaisesRegex(AssertionError, "not an address of the Internet"):
            self.run_command("webhook", "test", "private", environment=refusing)
        self.assertEqual(self.receiver.got, [])


if __name__ == "__main__":
    unittest.main()
