"""Drills that need more than a process: a cluster, a small disk, a network, a clock. Called by scripts/drill.

    python3 drills.py cluster|disk|loss|clock|growth|soak

The environment says DOORWARDEN_TEST_BINARY and POSTGRES_PROGRAMS (a folder). Exit code 0: it held; 1: it did not; 69: it is impossible here,
and the last line says why.
"""

import contextlib
import http.client
import json
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

BINARY = os.environ.get("DOORWARDEN_TEST_BINARY", "target/debug/doorwarden")
PROGRAMS = pathlib.Path(os.environ.get("POSTGRES_PROGRAMS", "/nonexistent"))
ROUNDS = int(os.environ.get("DOORWARDEN_DRILL_ROUNDS", "5"))
PASSWORD = "correct horse battery"


def impossible(why):
    print(f"impossible on this machine: {why}")
    sys.exit(69)


def need(*programs):
    for program in programs:
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            impossible(f"{program} was not found. hint: scripts/setup drill")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, seconds, what):
    """Waits until it is so; the seconds that it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)
    return time.monotonic() - began


class Service:
    """A Doorwarden, which is killed at the end."""

    def __init__(self, folder, database, behind=(), **more):
        self.port = free_port()
        self.log = open(folder / f"service-{self.port}.log", "wb")
        environment = {
            "PATH": os.environ["PATH"],
            "DOORWARDEN_LISTEN": f"127.0.0.1:{self.port}",
            "DOORWARDEN_METRICS_LISTEN": "off",
            "DOORWARDEN_DATABASE_URL": database,
            "DOORWARDEN_TOKENS_ISSUER": "http://drill.example",
            "DOORWARDEN_PASSWORDS_VALIDATORS": "none",
            **more,
        }
        line = [*behind, BINARY, "serve"]
        self.process = subprocess.Popen(line, env=environment, stdout=self.log, stderr=self.log, cwd=folder)

    def __enter__(self):
        until(lambda: self.call("GET", "/readyz")[0] == 200 or self.process.poll() is not None, 60, "the service is ready")
        assert self.process.poll() is None, pathlib.Path(self.log.name).read_text()[-2000:]
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def call(self, method, path, token=None, body=None):
        """Status and answer; 0 if there is none."""
        headers = {"Content-Type": "application/json"} if body else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        except (OSError, http.client.HTTPException, ValueError):
            return 0, None

    def register(self, name):
        account = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        return self.call("POST", "/registration", body=account)

    def log_in(self, name):
        return self.call("POST", "/login", body={"email": f"{name}@example.com", "password": PASSWORD})


class Load:
    """Registers accounts and logs half of them out, and keeps a journal of what was acknowledged."""

    def __init__(self, services, name):
        self.living, self.ended, self.wrong = {}, {}, []
        self.stop = threading.Event()
        self.threads = [
            threading.Thread(target=self.work, args=(services[n % len(services)], f"{name}c{n}")) for n in range(8)
        ]
        for thread in self.threads:
            thread.start()

    def work(self, service, name):
        for number in range(1_000_000):
            if self.stop.is_set():
                return
            status, answer = service.register(f"{name}n{number}")
            if status == 201:
                token = answer["token"]
                if number % 2 and service.call("POST", "/logout", token)[0] == 204:
                    self.ended[f"{name}n{number}"] = token
                elif not number % 2:
                    self.living[f"{name}n{number}"] = token
            elif status not in (0, 503):
                self.wrong.append((status, answer))
            else:
                time.sleep(0.05)

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        assert not self.wrong, self.wrong[:3]
        assert self.living and self.ended, "nothing was acknowledged"


def check(load, services):
    """What was acknowledged is there, and what was ended is refused, everywhere."""
    for service in services:
        for name, token in load.living.items():
            status, answer = service.call("GET", "/me", token)
            assert status == 200, f"{name} was acknowledged and is {status} {answer}"
        for name, token in load.ended.items():
            status, _ = service.call("GET", "/me", token)
            assert status == 401, f"the token of {name} was ended and is answered with {status}"


def as_postgres():
    """How to start what refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Cluster:
    """Three PostgreSQL servers under Patroni, etcd, and HAProxy, which asks Patroni who leads."""

    def __init__(self, folder):
        self.folder, self.processes, self.nodes = folder, {}, {}
        self.password = secrets.token_hex(8)
        self.etcd, self.proxy = free_port(), free_port()
        peer = free_port()
        self.start("etcd", [
            "etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", f"http://127.0.0.1:{self.etcd}",
            "--advertise-client-urls", f"http://127.0.0.1:{self.etcd}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", f"default=http://127.0.0.1:{peer}",
        ])
        until(lambda: self.speaks(self.etcd, "/version") == 200, 30, "etcd answers")
        for name in ("a", "b", "c"):
            self.nodes[name] = (free_port(), free_port())
            (folder / f"{name}.json").write_text(json.dumps(self.patroni(name)))
            self.start_node(name)
            if name == "a":
                until(self.leader, 90, "the first server leads")
        haproxy = "defaults\n mode tcp\n timeout connect 1s\n timeout client 1h\n timeout server 1h\n"
        haproxy += f"listen primary\n bind 127.0.0.1:{self.proxy}\n option httpchk GET /primary\n"
        haproxy += " http-check expect status 200\n default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions\n"
        for name, (port, rest) in self.nodes.items():
            haproxy += f" server {name} 127.0.0.1:{port} check port {rest}\n"
        (folder / "haproxy.cfg").write_text(haproxy)
        self.start("haproxy", [shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin"), "-f", str(folder / "haproxy.cfg")])
        until(self.synchronous, 120, "a standby is synchronous")

    def patroni(self, name):
        port, rest = self.nodes[name]
        login = {"username": "postgres", "password": self.password}
        return {
            "scope": "drill", "name": name,
            "restapi": {"listen": f"127.0.0.1:{rest}", "connect_address": f"127.0.0.1:{rest}"},
            "etcd3": {"host": f"127.0.0.1:{self.etcd}"},
            "bootstrap": {
                "dcs": {
                    "ttl": 20, "loop_wait": 1, "retry_timeout": 3, "synchronous_mode": True,
                    "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 100, "wal_log_hints": "on"}},
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}],
                "pg_hba": ["host replication all 127.0.0.1/32 scram-sha-256", "host all all 127.0.0.1/32 scram-sha-256"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{port}", "connect_address": f"127.0.0.1:{port}",
                "data_dir": str(self.folder / f"data-{name}"), "bin_dir": str(PROGRAMS), "pgpass": str(self.folder / f"pgpass-{name}"),
                "authentication": {"superuser": login, "replication": login, "rewind": login},
                "parameters": {"unix_socket_directories": "", "shared_buffers": "32MB"},
            },
        }

    def start(self, name, line):
        log = open(self.folder / f"{name}.log", "ab")
        self.processes[name] = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **as_postgres()
        )

    def start_node(self, name):
        self.start(name, [shutil.which("patroni"), str(self.folder / f"{name}.json")])

    @staticmethod
    def speaks(port, path):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0

    def leader(self):
        return next((name for name, (_, rest) in self.nodes.items() if self.speaks(rest, "/primary") == 200), None)

    def synchronous(self):
        return any(self.speaks(rest, "/sync") == 200 for _, rest in self.nodes.values())

    def kill(self, name):
        """Patroni and its server at once, as when a machine is switched off."""
        postmaster = int((self.folder / f"data-{name}" / "postmaster.pid").read_text().split()[0])
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        children = pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for process in [postmaster, *map(int, children)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.processes[name].wait()

    def close(self):
        for name in self.nodes:
            with contextlib.suppress(OSError, ValueError, IndexError):
                self.kill(name)
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def cluster(folder):
    need("patroni", "etcd", "haproxy")
    made = None
    try:
        try:
            made = Cluster(folder)
        except AssertionError as error:
            tail = "\n".join(path.read_text(errors="replace")[-500:] for path in folder.glob("*.log"))
            impossible(f"the cluster does not come up: {error}\n{tail}".replace("\n", " | ")[-1500:])
        hosts = ",".join(f"127.0.0.1:{port}" for port, _ in made.nodes.values())
        key = {"DOORWARDEN_SECRET_KEY": secrets.token_hex(32)}
        login = f"postgres://postgres:{made.password}@"
        with (
            Service(folder, f"{login}{hosts}/postgres?target_session_attrs=read-write", **key) as by_hosts,
            Service(folder, f"{login}127.0.0.1:{made.proxy}/postgres", **key) as by_proxy,
        ):
            services = [by_hosts, by_proxy]
            for turn in range(ROUNDS):
                load = Load(services, f"r{turn}")
                until(lambda: len(load.living) > 4 and len(load.ended) > 4, 60, "something is acknowledged")
                old = made.leader()
                made.kill(old)
                took = until(lambda: made.leader() not in (None, old), 90, "another server leads")
                ready = lambda: all(service.call("GET", "/readyz")[0] == 200 for service in services)
                took += until(ready, 60, "both services are ready again")
                time.sleep(1)
                load.finish()
                check(load, services)
                print(f"round {turn + 1}: {old} was killed; {took:.1f} s to another; {len(load.living)} accounts and "
                      f"{len(load.ended)} log-outs were acknowledged, none is lost", flush=True)
                made.start_node(old)
                until(made.synchronous, 120, "a standby is synchronous again")
    finally:
        if made:
            made.close()


def disk(folder):
    """In a mount namespace of its own, on a disk of a few megabytes."""
    if "DRILL_ROOM" not in os.environ:
        command = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        if subprocess.run([*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode:
            impossible("there are no mount namespaces")
        os.environ["DRILL_ROOM"] = "1"
        sys.exit(subprocess.run([*command, sys.executable, __file__, "disk"]).returncode)
    small = folder / "disk"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], check=True)
    with Service(folder, f"sqlite://{small}/doorwarden.db") as service:
        known = {f"before{n}": service.register(f"before{n}") for n in range(5)}
        ballast = small / "ballast"
        with contextlib.suppress(OSError), open(ballast, "wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        statuses = set()
        for number in range(2000):
            status, answer = service.register(f"full{number}")
            statuses.add(status)
            if status == 201:
                known[f"full{number}"] = (status, answer)
            if status == 503:
                break
        assert statuses <= {201, 503} and 503 in statuses, f"a full disk is answered with {statuses}"
        assert service.call("GET", "/healthz")[0] == 200
        for name, (_, answer) in known.items():
            assert service.call("GET", "/me", answer["token"])[0] == 200, f"{name} is not read while the disk is full"
        ballast.unlink()
        until(lambda: service.register(f"after{time.monotonic_ns()}")[0] == 201, 10, "it works again when there is room")
        service.process.kill()
        service.process.wait()
        count = sqlite3.connect(f"{small}/doorwarden.db").execute("SELECT count(*) FROM users").fetchone()[0]
        assert count >= len(known) + 1, f"{count} accounts, and {len(known) + 1} were acknowledged"
        print(f"a full disk: 503 and no 500, reading goes on, and {len(known)} acknowledged accounts are there afterwards")
    subprocess.run(["umount", "-l", str(small)], check=True)


class Database:
    """A PostgreSQL server by scripts/postgres."""

    def __init__(self, folder):
        self.folder = folder / "server"
        self.script = pathlib.Path(__file__).parents[2] / "scripts" / "postgres"
        done = subprocess.run([self.script, "start", self.folder], capture_output=True, text=True)
        if done.returncode:
            impossible("scripts/postgres could not start a server")
        self.url = done.stdout.strip()
        self.port = int(self.url.rsplit(":", 1)[1].split("/")[0])

    def close(self):
        subprocess.run([self.script, "stop", self.folder], check=False)


def loss(folder):
    """In a network namespace of its own, where packets to the database are lost."""
    need("nft", "ip")
    if "DRILL_ROOM" not in os.environ:
        command = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
        if subprocess.run([*command, "nft", "add", "table", "inet", "drill"], capture_output=True).returncode:
            impossible("there are no network namespaces with nftables")
        os.environ["DRILL_ROOM"] = "1"
        sys.exit(subprocess.run([*command, sys.executable, __file__, "loss"]).returncode)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    database = Database(folder)
    try:
        with Service(folder, database.url, DOORWARDEN_SECRET_KEY=secrets.token_hex(32)) as service:
            _, answer = service.register("jane")
            for _ in range(ROUNDS):
                rule = f"add table inet drill; add chain inet drill in {{ type filter hook input priority 0; }}; \
                    add rule inet drill in tcp dport {database.port} drop; add rule inet drill in tcp sport {database.port} drop"
                subprocess.run(["nft", rule], check=True)
                time.sleep(1)
                for path in ("/me", "/sessions", "/readyz"):
                    began = time.monotonic()
                    status, _ = service.call("GET", path, answer["token"])
                    took = time.monotonic() - began
                    assert status == 503 and took < 3, f"{path} without a network: {status} after {took:.1f} s"
                subprocess.run(["nft", "delete table inet drill"], check=True)
                until(lambda: service.call("GET", "/me", answer["token"])[0] == 200, 15, "it recovers")
            print(f"{ROUNDS} times without a network: 503 in time, and it recovers by itself")
    finally:
        database.close()


def clock(folder):
    """An instance whose clock is two months ahead, beside one that is right, on one database."""
    need("faketime")
    database = Database(folder)
    key = {"DOORWARDEN_SECRET_KEY": secrets.token_hex(32)}
    try:
        with Service(folder, database.url, **key) as right:
            status, answer = right.register("jane")
            assert status == 201
            wrong = Service(folder, database.url, ("faketime", "-f", "+61d"), **key)
            try:
                time.sleep(90)
                assert wrong.process.poll() is None or wrong.process.returncode != 0
                assert right.call("GET", "/me", answer["token"])[0] == 200, "a wrong clock elsewhere has ended a session"
                assert right.log_in("jane")[0] == 200
                pair = right.call("POST", "/token", body={"email": "jane@example.com", "password": PASSWORD})
                assert pair[0] == 200 and right.call("GET", "/me", pair[1]["access"])[0] in (200, 401)
                keys = right.call("GET", "/.well-known/jwks.json")[1]["keys"]
                assert keys, "a wrong clock elsewhere has deleted the key that signs"
            finally:
                wrong.process.kill()
                wrong.process.wait()
        print("an instance that is 61 days ahead ends no session and deletes no key of the others")
    finally:
        database.close()


def growth(folder):
    """A log that grew behind a long reader is cut when the reader has gone."""
    path = folder / "doorwarden.db"
    log = folder / "doorwarden.db-wal"
    with Service(folder, f"sqlite://{path}") as service:
        _, answer = service.register("jane")
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM users").fetchone()
        for number in range(ROUNDS * 400):
            change = {"username": f"jane{number}"}
            assert service.call("PATCH", "/me", answer["token"], change)[0] == 200
        grown = log.stat().st_size
        reader.execute("COMMIT")
        reader.close()

        def is_cut():
            service.call("PATCH", "/me", answer["token"], {"username": f"jane{time.monotonic_ns()}"})
            return log.stat().st_size < grown / 4

        took = until(is_cut, 120, f"the log of {grown >> 10} KiB is cut")
        print(f"a log of {grown >> 10} KiB behind a long reader: {log.stat().st_size >> 10} KiB {took:.0f} s after it has gone")


def soak(folder):
    """Accounts come, are used and go for a while; neither memory nor open files grow with it."""
    with Service(folder, f"sqlite://{folder}/doorwarden.db") as service:
        process = pathlib.Path("/proc") / str(service.process.pid)

        def held():
            pages = int((process / "statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE") >> 10, len(list((process / "fd").iterdir()))

        sizes = []
        for number in range(ROUNDS):
            load = Load([service], f"soak{number}")
            time.sleep(float(os.environ.get("DOORWARDEN_DRILL_SECONDS", "60")))
            load.finish()
            check(load, [service])
            sizes.append(held())
        (first, files), (last, files_last) = sizes[0], sizes[-1]
        assert last < first * 1.5 + 20_000, f"memory grew from {first} to {last} KiB"
        assert files_last <= files + 16, f"open files grew from {files} to {files_last}"
        print(f"{ROUNDS} rounds of load: memory {first} KiB after the first, {last} KiB after the last; {files} and {files_last} open files")


def main():
    drills = {"cluster": cluster, "disk": disk, "loss": loss, "clock": clock, "growth": growth, "soak": soak}
    if len(sys.argv) != 2 or sys.argv[1] not in drills:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="doorwarden-drill.", ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        # Servers that refuse to run as root write here, too.
        folder.chmod(0o777)
        drills[sys.argv[1]](folder)


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        print(f"it does not hold: {error}")
        sys.exit(1)
