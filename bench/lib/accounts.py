"""Passwords and refresh tokens: what is bound by the hash, and what by the disk."""

import json
import re
import subprocess

from . import service

def login_request(name="jane", password=service.PASSWORD):
    return {"method": "POST", "path": "/login", "body": json.dumps({"email": f"{name}@example.com", "password": password})}


def me_request(token):
    return {"method": "GET", "path": "/me", "token": token}


def raw(bench):
    """Hashes per second of the bare function on every core."""
    return bench.check("hash", bench.seconds(4))["per_second"]


def beside_raw(bench, **job):
    """The median ratio to the bare function, which is measured before and after each time; and the last result."""
    pairs = []
    before = raw(bench)
    for _ in range(bench.rounds(3)):
        result = bench.load(**job)
        after = raw(bench)
        pairs.append((result["per_second"] / ((before + after) / 2), result))
        before = after
    return sorted(pairs, key=lambda pair: pair[0])[len(pairs) // 2]


def login(bench):
    bench.row("Argon2id alone on all cores", raw(bench), "/s")
    with service.doorwarden(bench, f"sqlite://{bench.folder('login') / 'accounts.db'}") as product:
        product.register("jane")
        ratio, result = beside_raw(
            bench, address=product.address, connections=20, seconds=bench.seconds(5), requests=[login_request()], pause_ms=50
        )
    bench.row("POST /login, 20 connections", result["per_second"], "/s", ratio, "≥ 0.92 of raw", ratio >= 0.92, f"p99 {result['p99_ms']:.0f} ms")


def storm(bench):
    capacity = raw(bench)
    url = f"sqlite://{bench.folder('storm') / 'accounts.db'}"
    # The storm is of the same user, and would end the session that is measured.
    with service.doorwarden(bench, url, DOORWARDEN_SESSIONS_MAX_PER_USER="off") as product:
        token = product.register("jane")
        paced = dict(address=product.address, connections=8, seconds=bench.seconds(8), rate=200, requests=[me_request(token)])
        calm = bench.load(**paced)
        bench.row("GET /me, 200/s, nothing else", calm["p99_ms"], "ms p99", note=f"p50 {calm['p50_ms']:.2f} ms")
        logins = bench.begin_load(
            address=product.address, connections=256, seconds=bench.seconds(10), rate=10 * capacity, requests=[login_request()]
        )
        stormy = bench.load(**paced)
        logins = bench.finish(logins)
        p99 = stormy["p99_ms"]
        refused = logins["statuses"].get("503", 0)
        note = f"p50 {stormy['p50_ms']:.2f} ms; {logins['per_second']:.0f}/s logins answered, {refused} got 503"
        bench.row("GET /me, 200/s, logins at ten times capacity", p99, "ms p99", target="≤ 5", reached=p99 <= 5, note=note)

        flood = bench.begin_load(address=product.address, connections=16, seconds=bench.seconds(8) + 1, requests=[me_request(token)])
        through = bench.load(address=product.address, connections=8, seconds=bench.seconds(8), requests=[login_request()], pause_ms=50)
        flood = bench.finish(flood)
        rate = through["per_second"]
        bench.row("POST /login while GET /me is flooded", rate, "/s", rate / capacity, "> 0", rate > 0, f"{flood['per_second']:.0f}/s GET /me meanwhile")


def mixed(bench):
    one_database(bench, "SQLite", f"sqlite://{bench.folder('mixed') / 'accounts.db'}")
    with service.postgres(bench) as url:
        one_database(bench, "PostgreSQL", url)


def one_database(bench, name, url):
    with service.doorwarden(bench, url) as product:
        product.register("jane")
        body = json.dumps({"email": "user{n}@example.com", "username": "user{n}", "password": service.PASSWORD})
        register = {"method": "POST", "path": "/registration", "body": body}
        pairs, before = [], raw(bench)
        for turn in range(bench.rounds(3)):
            result = bench.load(
                address=product.address, connections=16, seconds=bench.seconds(5), requests=[register, login_request()],
                first_number=turn * 1_000_000, pause_ms=50,
            )
            after = raw(bench)
            pairs.append((result["per_second"] / ((before + after) / 2), result["per_second"]))
            before = after
    ratio, rate = sorted(pairs)[len(pairs) // 2]
    bench.row(f"registrations and logins, {name}", rate, "/s", ratio, "≥ 0.90 of raw", ratio >= 0.9)


def refresh(bench):
    with service.doorwarden(bench, f"sqlite://{bench.folder('refresh') / 'accounts.db'}") as product:
        result = refreshed(bench, product)
    rate, p99 = result["per_second"], result["p99_ms"]
    bench.row("POST /token/refresh, SQLite, 32 connections", rate, "/s", target="≥ 6,000", reached=rate >= 6000)
    bench.row("the same, p99", p99, "ms", target="< 20", reached=p99 < 20)
    with service.postgres(bench) as url:
        with service.doorwarden(bench, url) as product:
            # It answers when the tables are there.
            product.register("pgbench")
            ratios, before = [], pgbench(bench, url)
            for _ in range(bench.rounds(3)):
                result = refreshed(bench, product)
                after = pgbench(bench, url)
                ratios.append((result["per_second"] / ((before + after) / 2), result["per_second"], result["p99_ms"], before))
                before = after
    ratio, rate, p99, limit = sorted(ratios)[len(ratios) // 2]
    bench.row("pgbench, the same UPDATE, 32 clients", limit, "/s")
    bench.row("POST /token/refresh, PostgreSQL, 32 connections", rate, "/s", ratio, "≥ 1.5 of pgbench", ratio >= 1.5)
    bench.row("the same, p99", p99, "ms", target="< 20", reached=p99 < 20)


def refreshed(bench, product):
    name = f"user{service.free_port()}"
    token = product.register(name)
    tokens = [product.post("/token", {"email": f"{name}@example.com", "password": service.PASSWORD})["refresh"] for _ in range(32)]
    result = bench.load(address=product.address, connections=32, seconds=bench.seconds(6), refresh=tokens)
    if set(result["statuses"]) != {"200"}:
        raise RuntimeError(f"refreshing answered {result['statuses']}")
    return result


def pgbench(bench, url):
    """One session for each client, and the update that a rotation makes, a transaction each."""
    psql = [service.postgres_program("psql"), "--quiet", "--dbname", url, "--command"]
    sessions = (
        "INSERT INTO doorwarden_sessions (id, user_id, created_at, last_seen_at, expires_at, auth_time, assurance_level,"
        " refresh_counter, idle_seconds, amr) SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,"
        " (SELECT min(id) FROM users), now(), now(), now() + interval '1 day', now(), 1, 0, 1209600, 'pwd'"
        " FROM generate_series(0, 31) n ON CONFLICT DO NOTHING"
    )
    subprocess.run([*psql, sessions], check=True)
    script = bench.work / "update.sql"
    script.write_text(
        "UPDATE doorwarden_sessions s SET refresh_counter = s.refresh_counter + 1, last_seen_at = greatest(s.last_seen_at, now())"
        " FROM users u WHERE s.id = ('00000000-0000-7000-8000-' || lpad(:client_id::text, 12, '0'))::uuid AND s.ended_at IS NULL"
        " AND s.expires_at > now() AND u.id = s.user_id AND u.is_active RETURNING s.id, s.refresh_counter;\n"
    )
    seconds = max(2, round(bench.seconds(6)))
    command = [service.postgres_program("pgbench"), "--no-vacuum", "--protocol=prepared", "--client=32", "--jobs=2",
               f"--time={seconds}", f"--file={script}", url]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return float(re.search(r"tps = ([\d.]+)", out)[1])
