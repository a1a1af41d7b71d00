"""How fast it starts, and how large it is."""

import os
import signal
import socket
import statistics
import subprocess
import time

from . import service

REQUEST = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"


def first_answer(bench, url):
    """Milliseconds from the start of the program to its first answer, and MiB of memory half a second later."""
    port = service.free_port()
    env = {**os.environ, **service.environment(url, port)}
    began = time.perf_counter()
    process = subprocess.Popen([bench.program("doorwarden"), "serve"], env=env, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.sendall(REQUEST)
                    if connection.recv(12) == b"HTTP/1.1 200":
                        break
            except OSError:
                time.sleep(0.0005)
        took = (time.perf_counter() - began) * 1000
        time.sleep(0.5)
        return took, service.Running(process, port).resident_mib()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def start(bench):
    path = bench.folder("start") / "accounts.db"
    url = f"sqlite://{path}"
    with service.doorwarden(bench, url) as running:
        running.register("jane")
    took, memory = zip(*(first_answer(bench, url) for _ in range(bench.rounds(11))))
    took, memory = statistics.median(took), statistics.median(memory)
    bench.row("start to first answer, SQLite", took, "ms", target="< 50", reached=took < 50)
    bench.row("resident memory before the first hash", memory, "MiB", target="< 20", reached=memory < 20)
    size = os.path.getsize(bench.program("doorwarden")) / 1024 / 1024
    bench.row("stripped program", size, "MiB", target="< 15", reached=size < 15)
