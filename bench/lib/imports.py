"""Users of a Django application, beside a bare insert of the same rows."""

import csv
import os
import sqlite3
import subprocess
import time

from . import service
from .bench import ROOT, Skip

COLUMNS = "id, username, email, password, is_active, is_staff, is_superuser, date_joined, last_login, username_key, email_key"


def django(bench):
    generate = ROOT / "bench" / "import" / "generate.py"
    if not generate.exists():
        raise Skip("bench/import/generate.py is missing")
    if doorwarden(bench, "sqlite://unused", "import", "django", "--help").returncode:
        raise Skip("there is no command import django")
    count = 50_000 if bench.size == "quick" else 1_000_000
    folder = bench.folder("import")
    source = folder / "django.sqlite3"
    subprocess.run([str(generate), str(count), str(source)], check=True)
    sqlite(bench, folder, source, count)
    with service.postgres(bench) as url:
        postgres(bench, folder, source, count, url)


def doorwarden(bench, url, *arguments):
    env = {**os.environ, **service.environment(url, service.free_port())}
    command = [bench.program("doorwarden"), *arguments]
    return subprocess.run(command, env=env, cwd=bench.work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def done(result):
    if result.returncode:
        raise RuntimeError(result.stderr[-2000:])


def timed_import(bench, url, source):
    began = time.monotonic()
    done(doorwarden(bench, url, "import", "django", "--from", f"sqlite://{source}"))
    return time.monotonic() - began


def row(bench, name, count, bare, took):
    ratio = bare / took
    bench.row(f"bare insert of {count:,} users, {name}", count / bare, "rows/s")
    bench.row(f"import of {count:,} Django users, {name}", count / took, "rows/s", ratio, "≥ 0.7 of bare", ratio >= 0.7, f"{took:.0f} s")


def sqlite(bench, folder, source, count):
    bare = folder / "bare.db"
    done(doorwarden(bench, f"sqlite://{bare}", "migrate"))
    seconds = bench.check("insert", source, bare)["seconds"]
    url = f"sqlite://{folder / 'imported.db'}"
    done(doorwarden(bench, url, "migrate"))
    row(bench, "SQLite", count, seconds, timed_import(bench, url, source))


def postgres(bench, folder, source, count, url):
    rows = folder / "users.csv"
    with open(rows, "w", newline="") as file:
        select = (
            "SELECT id, username, email, password, is_active, is_staff, is_superuser, date_joined || '+00',"
            " last_login || '+00', lower(username), lower(email) FROM auth_user ORDER BY id"
        )
        csv.writer(file).writerows(sqlite3.connect(source).execute(select))
    base = url.rsplit("/", 1)[0]
    psql = [service.postgres_program("psql"), "--quiet", "--set=ON_ERROR_STOP=1", "--dbname"]
    for name in ("bare", "imported"):
        subprocess.run([*psql, url, "--command", f"CREATE DATABASE {name}"], check=True)
        done(doorwarden(bench, f"{base}/{name}", "migrate"))
    began = time.monotonic()
    copy = f"\\copy users ({COLUMNS}) from '{rows}' csv"
    subprocess.run([*psql, f"{base}/bare", "--command", copy], check=True)
    bare = time.monotonic() - began
    row(bench, "PostgreSQL", count, bare, timed_import(bench, f"{base}/imported", source))
