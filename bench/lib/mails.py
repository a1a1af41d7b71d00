"""The outbox: a mail is a row of the transaction that asked for it, and is sent in the background. Both are as durable as every other
change, so a killed service loses no mail."""

import json
import time

from . import service


def mail(bench):
    one_database(bench, "SQLite", f"sqlite://{bench.folder('mail') / 'accounts.db'}")
    with service.postgres(bench) as url:
        one_database(bench, "PostgreSQL", url)


def one_database(bench, name, url):
    """Links to log in, which need no hash, for one account each; delivered as files, which takes next to no time."""
    mails = bench.folder(f"mails-{name}")
    settings = {
        "DOORWARDEN_MAIL_URL": f"file:{mails}",
        "DOORWARDEN_MAIL_FROM": "accounts@example.org",
        # More than anybody may ask for.
        "DOORWARDEN_LIMITS_QUOTAS": "mail-account=4000000000/1h",
    }
    with service.doorwarden(bench, url, **settings) as product:
        users = [f"user{number}" for number in range(32)]
        for user in users:
            product.register(user)
        ask = [{"method": "POST", "path": "/login/email", "body": json.dumps({"email": f"{user}@example.com"})} for user in users]
        began = time.monotonic()
        asked = bench.load(address=product.address, connections=32, seconds=bench.seconds(6), requests=ask)
        if set(asked["statuses"]) != {"202"}:
            raise RuntimeError(f"asking for mails answered {asked['statuses']}")
        sent = delivered(mails, asked["statuses"]["202"], deadline=began + 600)
        took = time.monotonic() - began
    bench.row(f"mails queued, {name}, 32 connections", asked["per_second"], "/s", note=f"p99 {asked['p99_ms']:.0f} ms")
    bench.row(f"mails sent meanwhile and after, {name}", sent / took, "/s", note=f"{sent} mails, each once")


def delivered(mails, count, deadline):
    """How many mails there are when at least so many were delivered. The last requests of the load may have had no answer."""
    while (sent := sum(1 for _ in mails.glob("*.eml"))) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{sent} of {count} mails were sent")
        time.sleep(0.05)
    return sent
