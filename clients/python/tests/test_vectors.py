"""The published test vectors of the revocation feed (docs/vectors)."""

import json
import pathlib
import unittest

from doorwarden_verify import Checker, Refused, Revoked

VECTORS = json.loads((pathlib.Path(__file__).parents[3] / "docs/vectors/revocation-feed.json").read_text())
NOW = VECTORS["now"]


def checker():
    checker = Checker(VECTORS["issuer"], VECTORS["audience"])
    checker.set_keys(VECTORS["jwks"])
    return checker


class Vectors(unittest.TestCase):
    def test_statements_are_taken_or_refused_as_published(self):
        for case in VECTORS["statements"]:
            with self.subTest(case["name"]):
                refused, one = None, checker()
                try:
                    one.hear(case["signed"], NOW)
                except Refused as error:
                    refused = error.code
                self.assertEqual(refused, case.get("refused"))
                self.assertEqual(one.silence(NOW), 0.0 if refused is None else None)

    def test_tokens_count_or_not_as_published(self):
        one = checker()
        by = next(case for case in VECTORS["statements"] if case["name"] == VECTORS["tokens"]["statement"])
        self.assertTrue(one.hear(by["signed"], NOW))
        for case in VECTORS["tokens"]["cases"]:
            with self.subTest(case["name"]):
                if case["counts"]:
                    self.assertEqual(one.verify(case["token"], NOW)["iss"], VECTORS["issuer"])
                else:
                    self.assertRaises(Revoked, one.verify, case["token"], NOW)
