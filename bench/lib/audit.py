"""The audit log: changes with their events, how fast these are sealed, and how fast the log is verified."""

import json
import os
import sqlite3
import subprocess
import time

from . import service


def audit(bench):
    folder = bench.folder("audit")
    written(bench, "SQLite", f"sqlite://{folder / 'changes.db'}")
    with service.postgres(bench) as url:
        written(bench, "PostgreSQL", url)
    many(bench, folder / "many.db")


def written(bench, name, url):
    """A change without a hash, whose event is written with it and sealed meanwhile."""
    with service.doorwarden(bench, url) as product:
        token = product.register("jane")
        change = {"method": "PATCH", "path": "/me", "token": token, "body": json.dumps({"username": "jane"})}
        done = bench.load(address=product.address, connections=32, seconds=bench.seconds(6), requests=[change])
        if set(done["statuses"]) != {"200"}:
            raise RuntimeError(f"the changes were answered {done['statuses']}")
    bench.row(f"changes with an event, sealed meanwhile, {name}, 32 connections", done["per_second"], "/s", note=f"p99 {done['p99_ms']:.0f} ms")


def many(bench, path):
    """Events that are there already, put in by SQL, so that only the sealing and the verification are measured."""
    url, count = f"sqlite://{path}", 100_000 if bench.size == "quick" else 1_000_000
    with service.doorwarden(bench, url):
        pass
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN")
    row = "INSERT INTO doorwarden_audit (at, kind, actor, actor_id, user_id, request_id, result, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    now = time.time_ns() // 1000
    events = ((now + number, "logged_in", "user", str(number), number, f"{number:016x}", "success", "{}") for number in range(count))
    database.executemany(row, events)
    database.execute("COMMIT")
    with service.doorwarden(bench, url):
        began = time.monotonic()
        while database.execute("SELECT total FROM doorwarden_audit_marks WHERE kind = 'head'").fetchone()[0] < count:
            if time.monotonic() > began + 600:
                raise RuntimeError("the events are not sealed")
            time.sleep(0.05)
        sealed = time.monotonic() - began
    database.close()
    began = time.monotonic()
    line = [bench.program("doorwarden"), "--database-url", url, "audit", "verify"]
    environment = {**os.environ, **service.environment(url, 1)}
    done = subprocess.run(line, env=environment, stdout=subprocess.PIPE, check=True)
    took = time.monotonic() - began
    # The service has written some of its own.
    if json.loads(done.stdout)["events"] < count:
        raise RuntimeError(f"not every event was verified: {done.stdout}")
    bench.row("events sealed, SQLite, one instance", count / sealed, "/s", note=f"{count:,} events, 1,000 a seal")
    bench.row("events verified, SQLite", count / took, "/s", note=f"ten million in {10_000_000 / (count / took) / 60:.1f} minutes")
