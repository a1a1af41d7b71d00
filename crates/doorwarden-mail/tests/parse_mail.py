"""Reads messages as a JSON list of texts and prints what Python's parser of email makes of each."""

import email
import email.policy
import json
import sys


def defects(part):
    found = [repr(defect) for defect in part.defects]
    for header in part.values():
        found += [repr(defect) for defect in getattr(header, "defects", [])]
    return found


def described(text):
    message = email.message_from_bytes(text.encode(), policy=email.policy.default)
    parts = list(message.iter_parts())
    addresses = lambda header: [[a.display_name, a.addr_spec] for a in header.addresses]
    contents = [{"type": part.get_content_type(), "content": part.get_content()} for part in parts]
    return {
        "defects": [defect for part in [message, *parts] for defect in defects(part)],
        "names": message.keys(),
        "subject": message["Subject"],
        "from": addresses(message["From"]),
        "to": addresses(message["To"]),
        "date": message["Date"].datetime.isoformat(),
        "id": message["Message-ID"],
        "type": message.get_content_type(),
        "language": message["Content-Language"],
        "automatic": message["Auto-Submitted"],
        "parts": contents,
    }


json.dump([described(text) for text in json.load(sys.stdin)], sys.stdout)
