"""The OpenAPI document, as other people's tools read it: validators, a generator of clients, a tester that generates requests."""

import importlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path

from running import missing, service

HERE = Path(__file__).parent
REDOCLY = HERE / "node" / "node_modules" / ".bin" / "redocly"
SECRET = secrets.token_hex(32)
ACCOUNT = {"email": "jane@example.com", "username": "jane", "password": "correct horse 9"}
STREAM = "stream_revocations"


def program(name):
    """A program that came with a package of this Python."""
    return str(Path(sys.executable).with_name(name))


class OpenApi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.url = cls.enterClassContext(
            service(
                DOORWARDEN_SECRET_KEY=SECRET,
                DOORWARDEN_PASSWORDS_VALIDATORS="none",
                DOORWARDEN_TOKENS_ACCEPT_WITHOUT_SESSION="true",
            )
        )
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        with urllib.request.urlopen(cls.url + "/openapi.json", timeout=20) as answer:
            cls.document = json.load(answer)
        cls.file = cls.folder / "openapi.json"
        cls.file.write_text(json.dumps(cls.document))

    def run_quietly(self, *command, **environment):
        ran = subprocess.run(
            command, cwd=self.folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600
        )
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        return ran.stdout + ran.stderr

    def test_the_validator_finds_nothing(self):
        from openapi_spec_validator import validate

        validate(self.document)
        self.assertEqual(self.document["servers"][0]["url"], self.url)

    def test_redocly_finds_nothing(self):
        node = shutil.which("node")
        if not (node and REDOCLY.exists()):
            missing("interop, redocly", "scripts/test interop, with Node 20 or newer")
        # A redirect has no 2xx.
        said = self.run_quietly(
            node, str(REDOCLY), "lint", "--extends=recommended", "--skip-rule=operation-2xx-response", str(self.file),
            REDOCLY_TELEMETRY="off", REDOCLY_SUPPRESS_UPDATE_NOTICE="true",
        )
        self.assertIn("valid", said)
        self.assertNotIn("warning", said.replace("Deprecation warning", ""), said)

    def test_a_generated_client_works(self):
        self.run_quietly(
            program("openapi-python-client"), "generate", "--path", str(self.file), "--output-path",
            str(self.folder / "generated"), "--meta", "none",
        )
        sys.path.insert(0, str(self.folder))
        self.addCleanup(sys.path.remove, str(self.folder))
        generated = importlib.import_module("generated")
        models = importlib.import_module("generated.models")
        call = lambda name: importlib.import_module(f"generated.api.default.{name}")
        for paths in self.document["paths"].values():
            for method, about in paths.items():
                if method != "parameters":
                    self.assertTrue(call(about["operationId"]), "every operation can be imported")
        anybody = generated.Client(base_url=self.url, raise_on_unexpected_status=True)
        account = {**ACCOUNT, "email": "generated@example.com", "username": "generated"}
        made = call("create_account").sync(client=anybody, body=models.Registration.from_dict(account))
        user = generated.AuthenticatedClient(base_url=self.url, token=made.token, raise_on_unexpected_status=True)
        self.assertEqual(call("read_me").sync(client=user).username, "generated")
        change = models.Profile.from_dict({"username": "Generated"})
        self.assertEqual(call("update_me").sync(client=user, body=change).username, "Generated")
        login = models.Login.from_dict({name: account[name] for name in ("email", "password")})
        pair = call("create_token").sync(client=anybody, body=login)
        renewed = call("update_token").sync(client=anybody, body=models.Refresh(refresh=pair.refresh))
        self.assertNotEqual(renewed.refresh, pair.refresh)
        self.assertEqual(len(call("list_sessions").sync(client=user)), 2)
        ended = call("delete_token").sync_detailed(client=anybody, body=models.Revocation(refresh=renewed.refresh))
        self.assertEqual(ended.status_code, 204)
        wrong = models.Login.from_dict({"email": account["email"], "password": "wrong horse 9"})
        refused = call("create_login").sync(client=anybody, body=wrong)
        self.assertIn("non_field_errors", refused.to_dict())
        self.assertEqual(call("delete_login").sync_detailed(client=user).status_code, 204)
        self.assertEqual(call("read_me").sync(client=user).detail, "Invalid authentication. Could not decode token.")

    def schemathesis(self, **environment):
        return self.run_quietly(
            program("schemathesis"), "--config-file", str(HERE / "schemathesis.toml"), "run", self.url + "/openapi.json",
            "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "10", "--generation-deterministic",
            "--request-timeout", "30", "--exclude-operation-id", STREAM,
            PYTHONPATH=str(HERE), **environment,
        )

    def test_schemathesis_finds_nothing_as_nobody(self):
        self.schemathesis()

    def test_schemathesis_finds_nothing_as_a_user(self):
        request = urllib.request.Request(self.url + "/registration", json.dumps(ACCOUNT).encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=20) as answer:
            token = json.load(answer)["token"]
        me = urllib.request.Request(self.url + "/me", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(me, timeout=20) as answer:
            user = json.load(answer)["id"]
        self.schemathesis(
            SCHEMATHESIS_HOOKS="as_user", DOORWARDEN_TEST_SECRET=SECRET, DOORWARDEN_TEST_USER=str(user)
        )


if __name__ == "__main__":
    unittest.main()
