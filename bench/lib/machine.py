"""What it was measured on."""

import os
import platform
import re
import subprocess
from datetime import datetime, timezone


def output(*command, cwd=None):
    try:
        done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return done.stdout.strip()
    except OSError:
        return ""


def describe(root):
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    with open("/proc/meminfo") as file:
        kib = int(re.search(r"MemTotal:\s*(\d+)", file.read())[1])
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(kib / 1024 / 1024, 1),
        "kernel": platform.release(),
        "rust": output("rustc", "--version"),
        "python": platform.python_version(),
        "commit": output("git", "rev-parse", "--short", "HEAD", cwd=root),
        "changed_since_commit": bool(output("git", "status", "--porcelain", "--", "crates", cwd=root)),
        "versions": versions(root),
        "load_average_before": os.getloadavg(),
    }


def versions(root):
    lock = (root / "Cargo.lock").read_text()
    crates = ("tokio", "hyper", "axum", "rusqlite", "tokio-postgres", "argon2", "mimalloc")
    return {name: m[1] for name in crates if (m := re.search(rf'name = "{name}"\nversion = "(.*)"', lock))}
