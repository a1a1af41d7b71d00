"""Sends the requests of deploy/postman.json in order, as Postman's runner would, and checks the status and members that its tests name.

Needs DOORWARDEN_TEST_URL, as scripts/service sets it.
"""

import base64
import json
import os
import re
import secrets
import unittest
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

COLLECTION = Path(__file__).resolve().parents[2] / "deploy" / "postman.json"
STATUS = re.compile(r"pm\.response\.code\)\.to\.be\.oneOf\(\[([\d, ]+)\]\)")
MEMBER = re.compile(r"pm\.response\.json\(\)\)\.to\.have\.property\('(\w+)'\)")
KEPT = re.compile(r"pm\.collectionVariables\.set\('(\w+)', pm\.response\.json\(\)\.(\w+)\)")


def multipart(members):
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{one["key"]}"\r\n\r\n{one["value"]}\r\n' for one in members
    ]
    return f"multipart/form-data; boundary={boundary}", "".join(parts) + f"--{boundary}--\r\n"


def body_of(request):
    body = request.get("body")
    match body and body["mode"]:
        case None:
            return None, ""
        case "raw":
            return "application/json", body["raw"]
        case "urlencoded":
            pairs = [(one["key"], one["value"]) for one in body["urlencoded"]]
            return "application/x-www-form-urlencoded", urllib.parse.urlencode(pairs)
        case "formdata":
            return multipart(body["formdata"])


def credentials_of(auth):
    values = {one["key"]: one["value"] for one in auth.get(auth["type"], [])}
    match auth["type"]:
        case "bearer":
            return f"Bearer {values['token']}"
        case "basic":
            return "Basic " + base64.b64encode(f"{values['username']}:{values['password']}".encode()).decode()


class Kept(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the collection says so where there is one."""

    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(Kept)


class Postman(unittest.TestCase):
    def test_every_request_of_the_collection_is_answered_as_it_says(self):
        collection = json.loads(COLLECTION.read_text(encoding="utf-8"))
        self.variables = {one["key"]: one["value"] for one in collection["variable"]}
        name = "postman-" + secrets.token_hex(4)
        self.variables |= {"url": os.environ["DOORWARDEN_TEST_URL"], "email": f"{name}@example.com", "username": name}
        count = 0
        for folder in collection["item"]:
            for item in folder["item"]:
                with self.subTest(folder["name"] + ": " + item["name"]):
                    self.send(item)
                    count += 1
        self.assertGreater(count, 30)

    def send(self, item):
        filled = re.sub(r"\{\{(\w+)\}\}", lambda m: self.variables[m[1]], json.dumps(item["request"]))
        request = json.loads(filled)
        kind, body = body_of(request)
        headers = {one["key"]: one["value"] for one in request["header"]}
        if kind:
            headers["Content-Type"] = kind
        if authorization := credentials_of(request["auth"]):
            headers["Authorization"] = authorization
        status, text = self.call(request["method"], request["url"]["raw"], headers, body)
        lines = "\n".join(item["event"][0]["script"]["exec"])
        self.assertIn(str(status), STATUS.search(lines)[1].split(", "), text)
        for member in MEMBER.findall(lines):
            self.assertIn(member, json.loads(text))
        for variable, member in KEPT.findall(lines):
            self.variables[variable] = json.loads(text)[member]
        if "'session'" in lines:
            others = [session["id"] for session in json.loads(text) if not session["current"]]
            self.variables["session"] = others[0]

    def call(self, method, url, headers, body):
        request = urllib.request.Request(url, body.encode() or None, headers, method=method)
        try:
            with OPENER.open(request, timeout=10) as answer:
                # A stream does not end.
                is_stream = answer.headers.get_content_type() == "text/event-stream"
                return answer.status, "" if is_stream else answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
