"""What somebody may send who has the public key, or a key of his own; and keys that are none."""

import base64
import hashlib
import hmac
import json
import time
import unittest

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from doorwarden_verify import Checker, InvalidToken, Unavailable

ISSUER = "https://id.example"
NOW = int(time.time())
ISSUERS_KEY, OTHER_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def jwk(key):
    return {**jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k", "alg": "EdDSA", "use": "sig"}


def token(key=ISSUERS_KEY, algorithm="EdDSA", headers=None, **changes):
    claims = {"iss": ISSUER, "sub": "7", "aud": ISSUER, "exp": NOW + 300, "iat": NOW, "jti": "a", "client_id": "web", **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": "k", "typ": "at+jwt", **(headers or {})})


def hs256(secret):
    """By hand, because PyJWT refuses to sign with a public key."""

    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    header = encode(json.dumps({"alg": "HS256", "kid": "k", "typ": "at+jwt"}).encode())
    signed = header + b"." + token().split(".")[1].encode()
    return (signed + b"." + encode(hmac.digest(secret, signed, hashlib.sha256))).decode()


class Forgeries(unittest.TestCase):
    def setUp(self):
        self.checker = Checker(ISSUER)
        self.checker.set_keys({"keys": [jwk(ISSUERS_KEY)]})

    def test_no_forgery_passes(self):
        self.assertEqual(self.checker.verify(token(), NOW)["sub"], "7")
        public = jwk(ISSUERS_KEY)
        raw = base64.urlsafe_b64decode(public["x"] + "=")
        for name, forged in {
            "wrong_algorithm": token(None, "none"),
            "HS256 with the public key": hs256(raw),
            "HS256 with the JWK": hs256(json.dumps(public).encode()),
            "a key of his own": token(OTHER_KEY),
            "jwk": token(OTHER_KEY, headers={"jwk": jwk(OTHER_KEY)}),
            "jku": token(headers={"jku": "https://evil.example"}),
            "crit": token(headers={"crit": ["exp"], "exp": 1}),
            "typ": token(headers={"typ": "JWT"}),
            "kid": token(headers={"kid": "other"}),
            "issuer": token(iss="https://evil.example"),
            "audience": token(aud="https://other.example"),
            "no audience": token(aud=None),
            "no id": token(jti=None),
            "expired": token(exp=NOW),
            "exp is text": token(exp=str(NOW + 300)),
            "exp is huge text": token(exp=1e300),
            "not yet": token(nbf=NOW + 1),
            "from the future": token(iat=NOW + 61),
            "too long": token() + "A" * 9000,
            "empty": "",
            "no text": "\udcff.a.b",
        }.items():
            with self.subTest(name):
                self.assertRaises(InvalidToken, self.checker.verify, forged, NOW)

    def test_a_remembered_token_dies_at_its_expiry_and_with_its_key(self):
        remembered = token()
        self.checker.verify(remembered, NOW)
        self.checker.verify(remembered, NOW + 299)
        self.assertRaises(InvalidToken, self.checker.verify, remembered, NOW + 300)
        self.checker.set_keys({"keys": [jwk(OTHER_KEY)]})
        self.assertRaises(InvalidToken, self.checker.verify, remembered, NOW)

    def test_without_keys_nothing_is_the_tokens_fault(self):
        self.assertRaises(Unavailable, Checker(ISSUER).verify, token(), NOW)

    def test_one_bad_key_spoils_the_set_and_the_keys_of_before_stay(self):
        private = jwt.algorithms.OKPAlgorithm.to_jwk(OTHER_KEY, as_dict=True) | {"kid": "p"}
        for bad in [private, {"kty": "oct", "k": "c2VjcmV0", "kid": "s"}, jwk(ISSUERS_KEY), {"kid": "x"}]:
            with self.subTest(bad.get("kid")):
                self.assertRaises(ValueError, self.checker.set_keys, {"keys": [jwk(ISSUERS_KEY), bad]})
        self.checker.verify(token(), NOW)

    def test_no_more_tokens_are_remembered_than_asked_for(self):
        checker = Checker(ISSUER, remembered=10)
        checker.set_keys({"keys": [jwk(ISSUERS_KEY)]})
        for n in range(40):
            checker.verify(token(jti=str(n)), NOW)
        verified = checker._state.verified
        self.assertLessEqual(len(verified._current) + len(verified._previous), 10)
