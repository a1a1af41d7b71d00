"""Programs that listen: the product, and its peers."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager

from .bench import ROOT, Skip

PASSWORD = "correct horse battery staple"
SECRET = "a secret key of more than thirty-two bytes, for measuring"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Running:
    def __init__(self, process, port):
        self.process = process
        self.address = f"127.0.0.1:{port}"

    def post(self, path, body, token=None):
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        request = urllib.request.Request(f"http://{self.address}{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def get(self, path, token):
        request = urllib.request.Request(f"http://{self.address}{path}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def register(self, name):
        body = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        return self.post("/registration", body)["token"]

    def cpu_seconds(self):
        """Of the process and of its children, if it has any."""
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], stdout=subprocess.PIPE, text=True).stdout
        ticks = 0
        for pid in [self.process.pid, *map(int, children.split())]:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            line = next(line for line in file if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024


@contextmanager
def running(command, port, log, env=None, cwd=None):
    """A program that listens on this port, until the end of the block."""
    with open(log, "ab") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})}, cwd=cwd)
    try:
        deadline = time.monotonic() + 30
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not listen; its log is\n{open(log).read()[-2000:]}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.01)
        yield Running(process, port)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment(url, port):
    """Only what must be said: everything else is as it comes."""
    return {
        "DOORWARDEN_DATABASE_URL": url,
        "DOORWARDEN_LISTEN": f"127.0.0.1:{port}",
        "DOORWARDEN_METRICS_LISTEN": f"127.0.0.1:{free_port()}",
        "DOORWARDEN_SECRET_KEY": SECRET,
    }


def doorwarden(bench, url, **more):
    port = free_port()
    line = [bench.program("doorwarden"), "serve"]
    return running(line, port, bench.work / "doorwarden.log", {**environment(url, port), **more})


def axum(bench, kind, source):
    port = free_port()
    command = [bench.program("bench-axum"), f"127.0.0.1:{port}", kind, str(source)]
    return running(command, port, bench.work / "axum.log", {"BENCH_SECRET_KEY": SECRET})


@contextmanager
def django(bench):
    port, folder, python = free_port(), ROOT / "bench" / "peers" / "django", bench.python()
    env = {
        "PEER_DATABASE": str(bench.work / "django.sqlite3"),
        "PEER_SECRET_KEY": SECRET,
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    migrate = [python, "-m", "django", "migrate", "--run-syncdb", "--verbosity=0"]
    subprocess.run(migrate, check=True, cwd=folder, env={**os.environ, **env})
    # Threads, because gunicorn's plain workers end the connection after each answer.
    workers = [f"--workers={os.cpu_count()}", "--worker-class=gthread", "--threads=4"]
    command = [python, "-m", "gunicorn", *workers, f"--bind=127.0.0.1:{port}", "--log-level=warning", "wsgi:application"]
    with running(command, port, bench.work / "django.log", env, folder) as peer:
        time.sleep(2)
        yield peer


@contextmanager
def postgres(bench):
    """A durable PostgreSQL server of its own; gives its URL."""
    script, folder = str(ROOT / "scripts" / "postgres"), str(bench.work / "postgres")
    started = subprocess.run([script, "start", folder], stdout=subprocess.PIPE, text=True)
    if started.returncode:
        raise Skip("there is no PostgreSQL")
    try:
        yield started.stdout.strip()
    finally:
        subprocess.run([script, "stop", folder])
        subprocess.run(["rm", "-rf", folder])


def postgres_program(name):
    script = str(ROOT / "scripts" / "postgres")
    folder = subprocess.run([script, "find"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return f"{folder}/{name}"
