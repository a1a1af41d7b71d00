"""The published test vectors of the revocation feed (docs/vectors)."""

import json
import pathlib
import unittest

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from doorwarden_verify import Checker, InvalidToken, Refused, Revoked

VECTORS = json.loads((pathlib.Path(__file__).parents[3] / "docs/vectors/revocation-feed.json").read_text())
NOW = VECTORS["now"]


def checker():
    checker = Checker(VECTORS["issuer"], VECTORS["audience"])
    checker.set_keys(VECTORS["jwks"])
    return checker


def signed(key, **says):
    claims = {"iss": VECTORS["issuer"], "iat": NOW, "exp": NOW + 30, "window": 300, "sessions": [], "users": [], "keys": [], **says}
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": "k", "typ": "revocations.v2+jwt"})


class Vectors(unittest.TestCase):
    def test_statements_are_taken_or_refused_as_published(self):
        for case in VECTORS["statements"]:
            with self.subTest(case["name"]):
                refused, one = None, checker()
                try:
                    one.add_statement(case["signed"], NOW)
                except Refused as error:
                    refused = error.code
                self.assertEqual(refused, case.get("refused"))
                self.assertEqual(one.silence(NOW), 0.0 if refused is None else None)

    def test_tokens_count_or_not_as_published(self):
        one = checker()
        by = next(case for case in VECTORS["statements"] if case["name"] == VECTORS["tokens"]["statement"])
        self.assertTrue(one.add_statement(by["signed"], NOW))
        for case in VECTORS["tokens"]["cases"]:
            with self.subTest(case["name"]):
                if case["counts"]:
                    self.assertEqual(one.verify(case["token"], NOW)["iss"], VECTORS["issuer"])
                else:
                    self.assertRaises(Revoked, one.verify, case["token"], NOW)


class SeveralStatements(unittest.TestCase):
    """Statements are united, and each entry is forgotten when its window is over."""

    def setUp(self):
        self.key = Ed25519PrivateKey.generate()
        self.checker = Checker(VECTORS["issuer"], VECTORS["audience"])
        jwk = jwt.algorithms.OKPAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        self.checker.set_keys({"keys": [{**jwk, "kid": "k", "alg": "EdDSA", "use": "sig"}]})

    def add_statement(self, **says):
        self.checker.add_statement(signed(self.key, **says), NOW)

    def counts(self, user, sid=None, iat=NOW):
        claims = {"iss": VECTORS["issuer"], "aud": VECTORS["audience"], "sub": str(user), "jti": "j", "client_id": "web"}
        claims |= {"iat": iat, "exp": NOW + 300} | ({} if sid is None else {"sid": sid})
        token = jwt.encode(claims, self.key, algorithm="EdDSA", headers={"kid": "k", "typ": "at+jwt"})
        try:
            self.checker.verify(token, NOW)
        except Revoked:
            return False
        return True

    def test_entries_of_one_user_stand_beside_each_other(self):
        a, b = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
        self.add_statement(users=[[7, NOW - 20, a], [7, NOW - 10, b]])
        # An older statement that comes later takes nothing back.
        self.add_statement(iat=NOW - 5, users=[[7, NOW - 30, None]])
        counted = {(sid, age): self.counts(7, sid, NOW - age) for sid in (None, a, b) for age in (35, 25, 15, 9)}
        self.assertEqual([key for key, value in counted.items() if value], [(None, 9), (a, 9), (b, 15), (b, 9)])
        self.assertTrue(self.counts(8, a, NOW - 35))

    def test_what_has_left_the_window_is_forgotten(self):
        self.add_statement(iat=NOW - 200, users=[[7, NOW - 250, None], [8, NOW - 250]], sessions=[])
        self.assertFalse(self.counts(7, iat=NOW - 250))
        self.add_statement(users=[], window=240)
        self.assertEqual((self.checker._state.all_of, self.checker._state.users), ({}, {}))

    def test_before_never_goes_back(self):
        self.add_statement(before=NOW - 5)
        self.add_statement(iat=NOW + 1, before=NOW - 10)
        self.add_statement(iat=NOW + 2)
        self.assertEqual([self.counts(7, iat=NOW - age) for age in (5, 4)], [False, True])

    def test_what_is_malformed_is_refused_whole(self):
        session = "00000000-0000-4000-8000-00000000000a"
        for says in [
            {"users": [[7]]}, {"users": [["7", NOW]]}, {"users": [[7, None]]}, {"users": [[True, NOW]]}, {"users": [[7, NOW, ""]]},
            {"users": 7}, {"sessions": [[session]]}, {"sessions": [[7, NOW]]}, {"sessions": [[session, "now"]]}, {"sessions": {}},
            {"keys": [7]}, {"keys": "k"}, {"before": None}, {"before": 1.5}, {"window": -1}, {"window": "300"},
        ]:
            with self.subTest(says), self.assertRaises(InvalidToken) as refused:
                self.add_statement(**says)
            self.assertEqual(refused.exception.code, "bad_claim")
