"""What the sections share: programs, scratch space, results."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time

from pathlib import Path

from . import machine, report

ROOT = Path(__file__).resolve().parents[2]


def newest_python():
    """The newest Django needs a newer Python than many systems have."""
    beside = sorted(Path.home().glob(".pyenv/versions/3.1[2-9]*/bin/python3"), reverse=True)
    for python in [*(shutil.which(f"python3.{minor}") for minor in (14, 13, 12)), *beside, sys.executable]:
        if python and not subprocess.run([python, "-c", "import ensurepip"], capture_output=True).returncode:
            return str(python)
    sys.exit("bench/run: Python has no venv. hint: apt-get install python3-venv")


class Skip(Exception):
    """A section cannot be measured here."""


class Bench:
    def __init__(self, size, complete):
        self.size = size
        self.complete = complete
        self.work = ROOT / "bench" / "work"
        self.results = ROOT / "bench" / "results"
        self.rows = []
        self.series = {}
        self.failed = []
        self.current = None
        self.begin = time.time()

    def __enter__(self):
        # Until the process ends: two runs at once would measure each other.
        self.lock = open(ROOT / "bench" / "run")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("bench/run: another run is in progress")
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        # PostgreSQL's user passes through.
        self.work.chmod(0o755)
        self.machine = machine.describe(ROOT)
        self.build()
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.work, ignore_errors=True)

    def build(self):
        product = [] if os.environ.get("BENCH_BINARY") else [["--package", "doorwarden-server"]]
        for arguments in [*product, ["--manifest-path", "bench/Cargo.toml"]]:
            command = ["cargo", "build", "--release", "--target-dir", str(ROOT / "target"), *arguments]
            if subprocess.run(command, cwd=ROOT).returncode:
                sys.exit("bench/run: the build failed")

    def program(self, name):
        if name == "doorwarden" and os.environ.get("BENCH_BINARY"):
            return os.environ["BENCH_BINARY"]
        return str(ROOT / "target" / "release" / name)

    def python(self):
        """The interpreter that has Django."""
        home = ROOT / "target" / "python-bench"
        python = home / "bin" / "python"
        wanted = ROOT / "bench" / "peers" / "django" / "requirements.txt"
        mark = home / "installed"
        if not mark.exists() or mark.read_text() != wanted.read_text():
            newest = newest_python()
            subprocess.run([newest, "-m", "venv", "--clear", str(home)], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", wanted], check=True)
            mark.write_text(wanted.read_text())
        return str(python)

    def seconds(self, usual):
        return usual / 4 if self.size == "quick" else usual

    def rounds(self, usual):
        return 2 if self.size == "quick" else usual

    def folder(self, name):
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def section(self, name, measure):
        self.current = name
        print(f"\n{name}", file=sys.stderr)
        try:
            measure(self)
        except Skip as reason:
            self.row(name, note=f"not measured: {reason}")
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            # The others are still worth measuring.
            self.failed.append(name)
            self.row(name, note=f"failed: {str(error).strip().splitlines()[-1]}")

    def row(self, what, value=None, unit="", ratio=None, target="", reached=None, note=""):
        """`reached` is None where there is nothing to reach."""
        row = dict(section=self.current, what=what, value=value, unit=unit, ratio=ratio, target=target, reached=reached, note=note)
        self.rows.append(row)
        print("  " + report.line(row), file=sys.stderr, flush=True)

    def load(self, **job):
        """Runs the load generator to its end."""
        return self.finish(self.begin_load(**job))

    def begin_load(self, **job):
        path = self.work / f"job-{time.monotonic_ns()}.json"
        path.write_text(json.dumps(job))
        return subprocess.Popen([self.program("bench-load"), f"@{path}"], stdout=subprocess.PIPE)

    def finish(self, process):
        out, _ = process.communicate()
        if process.returncode:
            raise RuntimeError("the load generator failed")
        return json.loads(out)

    def check(self, *arguments):
        command = [self.program("bench-check"), *map(str, arguments)]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    def report(self):
        self.machine["load_average_after"] = os.getloadavg()
        self.machine["seconds"] = round(time.time() - self.begin)
        print("\n" + report.table(self.rows))
        self.results.mkdir(exist_ok=True)
        # A part of a run does not replace the whole.
        name = "results" if self.complete and self.size != "quick" else "partial"
        written = report.write(self.results, name, self.machine, self.rows, self.series)
        print("\n" + "\n".join(f"written: {path.relative_to(ROOT)}" for path in written))
        if self.failed:
            sys.exit(f"bench/run: failed: {' '.join(self.failed)}")
