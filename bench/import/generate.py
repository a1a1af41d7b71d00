#!/usr/bin/env python3
"""Writes a SQLite database as Django leaves it, with as many users as wanted.

    bench/import/generate.py 1000000 users.sqlite3
    bench/import/generate.py 1000000 users.sqlite3 --table authentication_user --clashes 10

Names and addresses come in no order, as people register. The hashes are well formed and belong to no password. One user
in ten is in a group, one in a hundred has a permission of his own. The same arguments give the same database.
"""

import argparse
import base64
import random
import sqlite3
from pathlib import Path

FIRST = "ada alan barbara carol dennis edsger frances grace hedy ivan jean ken leslie margaret niklaus ole".split()
LAST = "allen bartik dijkstra hamilton hopper johnson kay knuth lamport liskov lovelace ritchie turing wirth".split()
HOSTS = "example.com example.org example.net mail.example.com post.example.org".split()

SCHEMA = """
CREATE TABLE django_content_type (id integer NOT NULL PRIMARY KEY AUTOINCREMENT, app_label varchar(100) NOT NULL,
    model varchar(100) NOT NULL);
CREATE TABLE auth_permission (id integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    content_type_id integer NOT NULL REFERENCES django_content_type (id), codename varchar(100) NOT NULL,
    name varchar(255) NOT NULL);
CREATE TABLE auth_group (id integer NOT NULL PRIMARY KEY AUTOINCREMENT, name varchar(150) NOT NULL UNIQUE);
CREATE TABLE auth_group_permissions (id integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    group_id integer NOT NULL REFERENCES auth_group (id),
    permission_id integer NOT NULL REFERENCES auth_permission (id));
CREATE TABLE {table} (id integer NOT NULL PRIMARY KEY AUTOINCREMENT, password varchar(128) NOT NULL,
    last_login datetime NULL, is_superuser bool NOT NULL, username varchar(255) NOT NULL UNIQUE, {names}
    email varchar(254) NOT NULL, is_staff bool NOT NULL, is_active bool NOT NULL{joined});
CREATE TABLE {table}_groups (id integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    user_id integer NOT NULL REFERENCES {table} (id), group_id integer NOT NULL REFERENCES auth_group (id));
CREATE TABLE {table}_user_permissions (id integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    user_id integer NOT NULL REFERENCES {table} (id),
    permission_id integer NOT NULL REFERENCES auth_permission (id));
"""


def instant(r):
    return f"20{r.randint(18, 25)}-{r.randint(1, 12):02}-{r.randint(1, 28):02} {r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}.{r.randint(0, 999999):06}"


def users(count, clashes, is_djangos):
    r = random.Random(2018)
    for number in range(1, count + 1):
        first, last = r.choice(FIRST), r.choice(LAST)
        # A permutation of the numbers: unique, and in no order.
        name = f"{first}.{last}{number * 2_654_435_761 % 4_294_967_296:08x}"
        email = f"{name}@{r.choice(HOSTS)}"
        if number > count - clashes:
            name, email = previous[0].upper(), previous[1].upper()
        else:
            previous = (name, email)
        salt = f"{r.getrandbits(64):016x}{r.getrandbits(24):06x}"
        digest = base64.b64encode(r.randbytes(32)).decode()
        row = [number, f"pbkdf2_sha256$1200000${salt}${digest}", instant(r) if r.random() < 0.7 else None, 0, name]
        row += [first.title(), last.title()] if is_djangos else []
        row += [email, r.random() < 0.01, r.random() < 0.98]
        yield row + ([instant(r)] if is_djangos else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, help="how many users")
    parser.add_argument("file", type=Path, help="the database, which is replaced")
    parser.add_argument("--table", default="auth_user", help="auth_user has date_joined and names, others do not")
    parser.add_argument("--clashes", type=int, default=0, help="how many of the last users differ from another in case")
    args = parser.parse_args()
    args.file.unlink(missing_ok=True)
    is_djangos = args.table == "auth_user"
    db = sqlite3.connect(args.file)
    db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -500000;")
    names = "first_name varchar(150) NOT NULL, last_name varchar(150) NOT NULL," if is_djangos else ""
    joined = ", date_joined datetime NOT NULL" if is_djangos else ""
    db.executescript(SCHEMA.format(table=args.table, names=names, joined=joined))
    db.execute("INSERT INTO django_content_type VALUES (1, 'blog', 'post')")
    for number, verb in enumerate(["add", "change", "delete", "view"], 1):
        db.execute("INSERT INTO auth_permission VALUES (?, 1, ?, ?)", (number, f"{verb}_post", f"Can {verb} post"))
    db.executemany("INSERT INTO auth_group VALUES (?, ?)", [(1, "editors"), (2, "authors"), (3, "readers")])
    db.executemany("INSERT INTO auth_group_permissions VALUES (?, ?, ?)", [(1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 3, 4)])
    places = ", ".join("?" * (11 if is_djangos else 8))
    db.executemany(f"INSERT INTO {args.table} VALUES ({places})", users(args.count, args.clashes, is_djangos))
    members = ((number, number % 3 + 1) for number in range(1, args.count + 1, 10))
    db.executemany(f"INSERT INTO {args.table}_groups (user_id, group_id) VALUES (?, ?)", members)
    holders = ((number, number % 4 + 1) for number in range(1, args.count + 1, 100))
    db.executemany(f"INSERT INTO {args.table}_user_permissions (user_id, permission_id) VALUES (?, ?)", holders)
    db.commit()
    db.close()


if __name__ == "__main__":
    main()
