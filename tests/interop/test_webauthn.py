"""Other people's libraries verify the ceremonies that doorwarden-webauthn verifies: those of the W3C, and changes of them. Chromium makes others.

Where a verdict differs, WE_REFUSE or THEY_REFUSE has the reason. The library of npm is in webauthn/, ours is an example of doorwarden-webauthn.
"""

import base64
import http.server
import itertools
import json
import os
import re
import shutil
import subprocess
import threading
import unittest
from pathlib import Path

import webauthn
from webauthn.helpers.cose import COSEAlgorithmIdentifier

from browser import PATIENCE, chromium, need_browser
from running import missing

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "crates/doorwarden-webauthn/tests/data/w3c_webauthn_vectors.json"
EXAMPLE = Path(os.environ["DOORWARDEN_TEST_BINARY"]).parent / "examples" / "relying_party"
SIMPLE = Path(__file__).resolve().parent / "webauthn"
ORIGIN, RP_ID = "https://example.org", "example.org"
USER_HANDLE = b"a handle"
# It knows no ES384.
OFFERED = [COSEAlgorithmIdentifier(number) for number in (-7, -8, -257)]


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def flip(data, at, bits):
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


class Registration:
    """A registration in parts that can be changed."""

    def __init__(self, vector):
        parts = vector["registration"]
        self.title = vector["title"]
        self.challenge, self.id, self.client_data, self.object = (
            bytes.fromhex(parts[name]) for name in ("challenge", "credential_id", "clientDataJSON", "attestationObject")
        )
        # Authenticator data is the last member, and the key is the last part of it.
        start = self.object.index(b"authData") + len("authData")
        self.data_at = start + (2 if self.object[start] == 0x58 else 3)
        self.key_at = self.data_at + 55 + len(self.id)
        self.user_handle = None

    def question(self, required=False):
        id = base64url(self.id)
        response = {"clientDataJSON": base64url(self.client_data), "attestationObject": base64url(self.object)}
        return {
            "ask": "registration",
            "challenge": base64url(self.challenge),
            "response": {"id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {}, "response": response},
            "required": required,
        }

    def with_data(self, data):
        """The attestation object with other authenticator data, and its length."""
        start = self.object.index(b"authData") + len("authData")
        length = bytes([0x58, len(data)]) if len(data) < 256 else b"\x59" + len(data).to_bytes(2, "big")
        return self.object[:start] + length + data


class Authentication:
    """An authentication in parts that can be changed."""

    def __init__(self, vector):
        registration = Registration(vector)
        parts = vector["authentication"]
        self.title = vector["title"]
        self.id = self.stored_id = registration.id
        self.public_key = registration.object[registration.key_at :]
        self.challenge, self.client_data, self.data, self.signature = (
            bytes.fromhex(parts[name]) for name in ("challenge", "clientDataJSON", "authenticatorData", "signature")
        )
        self.user_handle = None
        self.counter = 0

    def question(self, required=False):
        id = base64url(self.id)
        response = {
            "clientDataJSON": base64url(self.client_data),
            "authenticatorData": base64url(self.data),
            "signature": base64url(self.signature),
        }
        if self.user_handle:
            response["userHandle"] = base64url(self.user_handle)
        return {
            "ask": "authentication",
            "challenge": base64url(self.challenge),
            "response": {"id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {}, "response": response},
            "credential": {
                "id": base64url(self.stored_id),
                "publicKey": list(self.public_key),
                "counter": self.counter,
                "userHandle": base64url(USER_HANDLE),
            },
            "required": required,
        }


def in_context(one):
    """Changes that a registration and an authentication have in common."""
    text = one.client_data
    kind, other = (b"webauthn.create", b"webauthn.get")[:: 1 if isinstance(one, Registration) else -1]
    yield "another challenge", {"challenge": flip(one.challenge, 0, 1)}
    yield "another type", {"client_data": text.replace(kind, other)}
    yield "another origin", {"client_data": text.replace(b"https://example.org", b"https://example.org.evil.example")}
    yield "the origin with a slash", {"client_data": text.replace(b'"https://example.org"', b'"https://example.org/"')}
    yield "crossOrigin is text", {"client_data": re.sub(rb'"crossOrigin":(true|false)', b'"crossOrigin":"yes"', text)}
    yield "a duplicate origin", {"client_data": text.replace(b"{", b'{"origin":"https://evil.example",', 1)}
    yield "a byte order mark", {"client_data": b"\xef\xbb\xbf" + text}
    yield "no JSON", {"client_data": text[:-1]}
    yield "no UTF-8", {"client_data": text.replace(b"{", b'{"x":"\xff",', 1)}
    yield "another id", {"id": flip(one.id, 0, 1)}


def of_data(data):
    yield "another relying party", flip(data, 0, 1)
    for name, bit in (("UP", 0), ("RFU1", 1), ("UV", 2), ("BE", 3), ("BS", 4), ("RFU2", 5), ("AT", 6), ("ED", 7)):
        yield f"flag {name}", flip(data, 32, 1 << bit)
    yield "another counter", flip(data, 36, 1)
    yield "data too short", data[:-1]
    yield "data too long", data + b"\x00"


def of_registration(one):
    data = one.object[one.data_at :]
    key = one.object[one.key_at :]
    before = data[: len(data) - len(key)]
    for name, changed in of_data(data):
        yield name, {"object": one.with_data(changed)}
    yield "an attestation object too short", {"object": one.object[:-1]}
    yield "an attestation object too long", {"object": one.object + b"\x00"}
    yield "an attestation object of indefinite length", {"object": b"\xbf" + one.object[1:] + b"\xff"}
    yield "an attestation object twice", {"object": one.object + one.object}
    yield "an id without bytes", {"object": one.with_data(data[:53] + b"\x00\x00" + key)}
    for name, changed in (
        ("another algorithm", key[:4] + b"\x25" + key[5:]),
        ("the curve of another algorithm", key.replace(b"\x20\x01\x21", b"\x20\x02\x21")),
        ("a point off the curve", flip(key, len(key) - 1, 1)),
        ("a key of indefinite length", b"\xbf" + key[1:] + b"\xff"),
        ("a key with a duplicate member", bytes([key[0] + 1]) + key[1:3] + key[1:]),
        ("a key in another order", key[:1] + key[3:5] + key[1:3] + key[5:]),
        ("a key with a long length", b"\xb8" + bytes([key[0] & 0x1F]) + key[1:]),
        ("a key with a further member", bytes([key[0] + 1]) + key[1:5] + b"\x04\x81\x02" + key[5:]),
        ("arrays 1,000 deep", b"\x81" * 1000 + b"\x00"),
    ):
        yield name, {"object": one.with_data(before + changed)}


def of_authentication(one):
    for name, changed in of_data(one.data):
        yield name, {"data": changed}
    yield "an empty signature", {"signature": b""}
    yield "a signature too short", {"signature": one.signature[:-1]}
    yield "a signature too long", {"signature": one.signature + b"\x00"}
    for at in range(len(one.signature)):
        yield f"signature byte {at}", {"signature": flip(one.signature, at, 1)}
    yield "the stored credential is another one", {"stored_id": flip(one.id, 0, 1)}
    yield "the handle of the user", {"user_handle": USER_HANDLE}
    yield "the handle of another user", {"user_handle": b"another"}
    yield "the counter went back", {"counter": 5}


def questions():
    """Names and questions: each ceremony as it is, with the user verified, and with each change that changes something."""
    for vector in json.loads(VECTORS.read_text()):
        for kind, changes in ((Registration, of_registration), (Authentication, of_authentication)):
            name = f"{vector['title']}, {kind.__name__.lower()}"
            one = kind(vector)
            yield f"{name}: as it is", one.question()
            yield f"{name}: user verified", one.question(required=True)
            for change, parts in itertools.chain(in_context(one), changes(one)):
                changed = kind(vector)
                vars(changed).update(parts)
                if vars(changed) != vars(one):
                    yield f"{name}: {change}", changed.question()


def py_webauthn(question):
    credential = question.get("credential")
    expected = {
        "credential": question["response"],
        "expected_challenge": base64.urlsafe_b64decode(question["challenge"] + "=="),
        "expected_rp_id": RP_ID,
        "expected_origin": ORIGIN,
        "require_user_verification": question["required"],
    }
    if credential is None:
        webauthn.verify_registration_response(**expected, supported_pub_key_algs=OFFERED)
    else:
        key, counter = bytes(credential["publicKey"]), credential["counter"]
        webauthn.verify_authentication_response(**expected, credential_public_key=key, credential_current_sign_count=counter)


def in_python(question):
    try:
        py_webauthn(question)
    except Exception as error:  # noqa: BLE001 - whatever it raises, it did not accept
        return {"accepts": False, "reason": f"{type(error).__name__}: {error}"}
    return {"accepts": True}


def ask(command, lines):
    done = subprocess.run(command, input="\n".join(map(json.dumps, lines)), stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    return [json.loads(line) for line in done.stdout.splitlines()]


NPM, PYPI = "@simplewebauthn/server", "webauthn (PyPI)"
# What the refusing side says, for how many questions the other library accepts, and why we differ.
WE_REFUSE = (
    (r"the algorithm -36 was not offered", {NPM: 7, PYPI: 5}, "The key of a stored credential is read as strictly as that of a new one."),
    (r"in a frame of another origin", {NPM: 22, PYPI: 19}, "Neither looks at crossOrigin; here frames are refused unless they are listed."),
    (r"in a frame of \"https://example.com\"", {NPM: 17, PYPI: 18}, "As above. The one of npm compares topOrigin in authentications only."),
    (r"the id of the credential is another one", {NPM: 31, PYPI: 30}, "Their callers compare rawId with the credential, in a registration and in an authentication."),
    (r"the user handle is another one", {NPM: 12, PYPI: 12}, "Their callers compare it with the user."),
    (r"has two members \"origin\"", {NPM: 4, PYPI: 4}, "They take the last one."),
    (r"the member \"crossOrigin\" .* malformed", {NPM: 4, PYPI: 4}, "They do not look at its type."),
    (r"the client data is not UTF-8", {NPM: 4}, "It replaces what is not UTF-8."),
    (r"bytes follow the CBOR", {NPM: 14, PYPI: 12}, "They read the first value, and ignore the rest."),
    (r"a length is indefinite", {PYPI: 6}, "Its CBOR need not be canonical."),
    (r"not in canonical order", {NPM: 2, PYPI: 2}, "Their CBOR need not be canonical."),
    (r"the CBOR ends within a value", {NPM: 4}, "It accepts a byte string that is shorter than it says."),
    (r"does not have 1 to 1,023 bytes", {NPM: 2}, "It accepts a credential without an id."),
    (r"the public key has further members", {NPM: 2, PYPI: 2}, "WebAuthn section 6.5.1 allows only those that are required."),
    (r"the member -1 of the public key", {NPM: 2, PYPI: 2}, "A key is first used in an authentication, where it is refused. Then it is too late."),
    (r"not a point of the curve", {NPM: 2, PYPI: 2}, "As above."),
    (r"the signature is not valid", {NPM: 14}, "It accepts other forms than DER: bytes after the signature, a wrong length of the outermost sequence."),
)
THEY_REFUSE = (
    (r"counter value 0 was lower|sign count of 0 was not greater", {NPM: 11, PYPI: 11}, "Here that is a result: correct authenticators do it (WebAuthn section 7.2: no proof)."),
    (r"alg -35|alg \"-35\"", {PYPI: 10}, "It knows no ES384."),
    # Attestations that nobody asked for are named here, and neither verified nor trusted.
    (r"^not verified$|statement signature \(Packed\)", {NPM: 26, PYPI: 20}, "The change breaks the signature of a packed attestation with certificates."),
    (r"\(TPM\)", {NPM: 9, PYPI: 9}, "The change breaks the attestation of the TPM, or the vendor is unknown: it is a test vector."),
    (r"\(Android Key\)", {NPM: 8, PYPI: 8}, "The certificates of the vector lead to no root of Google."),
    (r"\(Apple\)", {NPM: 8, PYPI: 8}, "The certificates of the vector lead to no root of Apple."),
    (r"AAGUID .* was not expected", {NPM: 7, PYPI: 7}, "An attestation of U2F has no AAGUID; that of the vector has one."),
)


class Verdicts(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        if not (shutil.which("node") and (SIMPLE / "node_modules").is_dir()):
            missing(NPM, "scripts/setup node, then scripts/test interop")
        cls.names, cls.questions = zip(*questions())
        cls.ours = ask([EXAMPLE], cls.questions)
        cls.theirs = {
            NPM: ask(["node", SIMPLE / "verify.js"], cls.questions),
            PYPI: [in_python(question) for question in cls.questions],
        }

    def test_every_question_has_its_answer(self):
        self.assertEqual(len(set(self.names)), len(self.names))
        for answers in (self.ours, *self.theirs.values()):
            self.assertEqual(len(answers), len(self.questions))

    def test_of_the_fifteen_ceremonies_eleven_are_accepted(self):
        for kind in ("registration", "authentication"):
            accepted = [name for name, answer in zip(self.names, self.ours) if answer["accepts"] and name.endswith(f"{kind}: as it is")]
            self.assertEqual(len(accepted), 11, accepted)

    def test_every_deviation_is_explained(self):
        for library, theirs in self.theirs.items():
            found, unexplained = {}, []
            for name, we, they in zip(self.names, self.ours, theirs):
                if we["accepts"] == they["accepts"]:
                    continue
                explanations, reason = (THEY_REFUSE, they["reason"]) if we["accepts"] else (WE_REFUSE, we["reason"])
                explained = [pattern for pattern, *_ in explanations if re.search(pattern, reason)]
                if len(explained) == 1:
                    found[explained[0]] = found.get(explained[0], 0) + 1
                else:
                    unexplained.append((name, reason))
            expected = {pattern: counts[library] for pattern, counts, _ in WE_REFUSE + THEY_REFUSE if library in counts}
            with self.subTest(library):
                self.assertEqual(unexplained, [])
                self.assertEqual(found, expected)


class Page(http.server.BaseHTTPRequestHandler):
    """An empty page: the driver does what a script of it would do."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Passkeys</title>")

    def log_message(self, *_):
        pass


class Browser(unittest.TestCase):
    """Chromium reads our options and signals, and we read its responses, with its virtual authenticator."""

    CREATE = "navigator.credentials.create({publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options)})"
    GET = "navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options)})"

    @classmethod
    def setUpClass(cls):
        need_browser()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        cls.origin = f"http://localhost:{server.server_port}"
        cls.browser = cls.enterClassContext(chromium())
        cls.browser.set_script_timeout(PATIENCE)
        cls.browser.get(cls.origin)
        cls.browser.execute_cdp_cmd("WebAuthn.enable", {})

    def setUp(self):
        self.challenge = base64url(os.urandom(32))
        self.credential = {"userHandle": base64url(USER_HANDLE)}

    def authenticator(self, **options):
        usual = {
            "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
            "isUserVerified": True, "automaticPresenceSimulation": True,
        }
        self.id = self.cdp("addVirtualAuthenticator", options={**usual, **options})["authenticatorId"]
        self.addCleanup(lambda: self.cdp("removeVirtualAuthenticator", authenticatorId=self.id))

    def cdp(self, command, **parameters):
        return self.browser.execute_cdp_cmd(f"WebAuthn.{command}", parameters)

    def ask(self, what, **parts):
        """What we answer; with `refused` why."""
        question = {"ask": what, "challenge": self.challenge, "credential": self.credential, "origin": self.origin, **parts}
        (answer,) = ask([EXAMPLE], [question])
        return answer

    def run_script(self, script, argument):
        done = """const [options, done] = arguments;
            (async () => %s)().then((value) => done({value: value?.toJSON?.()}), (error) => done({error: String(error)}));"""
        answer = self.browser.execute_async_script(done % script, argument)
        self.assertNotIn("error", answer)
        return answer["value"]

    def register(self, algorithm=None):
        options = self.ask("creation options")["result"]
        if algorithm is not None:
            options["pubKeyCredParams"] = [one for one in options["pubKeyCredParams"] if one["alg"] == algorithm]
        answer = self.ask("registration", response=self.run_script(self.CREATE, options))
        self.assertTrue(answer["accepts"], answer)
        self.credential |= answer["result"]
        return answer["result"]

    def authenticate(self, required=False):
        options = self.ask("request options")["result"]
        return self.ask("authentication", response=self.run_script(self.GET, options), required=required)

    def test_a_passkey_registers_and_authenticates(self):
        self.authenticator()
        made = self.register()
        self.assertEqual((made["algorithm"], made["discoverable"], made["transports"]), (-7, True, ["internal"]))
        self.assertEqual([made["userVerified"], made["backupEligible"], made["backedUp"]], [True, False, False])
        answer = self.authenticate(required=True)
        self.assertTrue(answer["accepts"], answer)
        self.assertEqual((answer["result"]["userVerified"], answer["result"]["grew"]), (True, True))

    def test_its_other_algorithms_verify(self):
        self.authenticator()
        for algorithm in (-8, -257):
            with self.subTest(algorithm):
                self.assertEqual(self.register(algorithm)["algorithm"], algorithm)
                answer = self.authenticate()
                self.assertTrue(answer["accepts"], answer)

    def test_flags_are_reported(self):
        self.authenticator(defaultBackupEligibility=True, defaultBackupState=True)
        made = self.register()
        self.assertEqual([made["backupEligible"], made["backedUp"]], [True, True])
        for state in (False, True):
            id = base64.b64encode(base64.urlsafe_b64decode(made["id"] + "==")).decode()
            self.cdp("setCredentialProperties", authenticatorId=self.id, credentialId=id, backupState=state)
            answer = self.authenticate()
            self.assertEqual(answer["result"]["backedUp"], state, answer)

    def test_what_a_bad_authenticator_says_is_refused(self):
        self.authenticator()
        self.register()
        for override, reason in (
            ({"isBogusSignature": True}, "the signature is not valid"),
            ({"isBadUP": True}, "the user was not present"),
            ({"isBadUV": True}, "the authenticator did not verify the user"),
        ):
            self.cdp("setResponseOverrideBits", authenticatorId=self.id, **override)
            answer = self.authenticate(required=True)
            self.assertEqual((answer["accepts"], answer.get("reason")), (False, reason))
        self.assertFalse(self.authenticate()["result"]["userVerified"], "where it is not required, it is reported")

    def test_signals_reach_the_authenticator(self):
        self.authenticator()
        self.register()
        signals = self.ask("signals")["result"]

        def names():
            return [one.get("userName") for one in self.cdp("getCredentials", authenticatorId=self.id)["credentials"]]

        self.run_script("PublicKeyCredential.signalAllAcceptedCredentials(options)", signals["accepted"])
        self.assertEqual(len(names()), 1, "the accepted one is kept")
        self.run_script("PublicKeyCredential.signalCurrentUserDetails(options)", signals["details"] | {"name": "new"})
        self.assertEqual(names(), ["new"])
        self.run_script("PublicKeyCredential.signalUnknownCredential(options)", signals["unknown"])
        self.assertEqual(names(), [])


if __name__ == "__main__":
    unittest.main()
