"""`GET /me`: requests per second beside the limit and beside Django."""

import statistics
from contextlib import ExitStack

from . import service

CONNECTIONS = 16


def me(bench):
    folder = bench.folder("me")
    url = f"sqlite://{folder / 'accounts.db'}"
    with ExitStack() as stack:
        product = stack.enter_context(service.doorwarden(bench, url))
        token = product.register("jane")
        body = folder / "me.json"
        body.write_bytes(product.get("/me", token))
        django = stack.enter_context(service.django(bench))
        django_token = django.register("jane")
        bare = stack.enter_context(service.axum(bench, "bare", body))
        peers = {
            "bare": (bare, token),
            "doorwarden": (product, token),
            "authenticated": (stack.enter_context(service.axum(bench, "authenticated", url)), token),
            "dressed": (stack.enter_context(service.axum(bench, "dressed", body)), token),
            "django": (django, django_token),
            "bare again": (bare, token),
        }
        rounds = [once(bench, peers) for _ in range(bench.rounds(7))]

    per_second = lambda name: statistics.median(r[name][0] for r in rounds)
    micros = lambda name: statistics.median(r[name][1] for r in rounds)

    def ratio(name, to=None):
        limit = lambda r: r[to][0] if to else (r["bare"][0] + r["bare again"][0]) / 2
        return statistics.median(r[name][0] / limit(r) for r in rounds)

    spread = statistics.median(abs(r["bare"][0] / r["bare again"][0] - 1) for r in rounds)
    bench.row("bare axum handler, the same body", per_second("bare"), "/s", note=f"{micros('bare'):.1f} µs CPU; first and last in a round differ by {spread:.0%}")
    bench.row("bare axum handler, the same bytes on the wire", per_second("dressed"), "/s", ratio=ratio("dressed"), note=f"{micros('dressed'):.1f} µs CPU")
    alone = ratio("authenticated")
    bench.row("authentication alone", per_second("authenticated"), "/s", alone, "≥ 0.95 of bare", alone >= 0.95, f"{micros('authenticated'):.1f} µs CPU")
    all_on = ratio("doorwarden")
    bench.row("Doorwarden, everything on", per_second("doorwarden"), "/s", all_on, "≥ 0.85 of bare", all_on >= 0.85, f"{micros('doorwarden'):.1f} µs CPU; {ratio('doorwarden', 'dressed'):.2f} of the same bytes on the wire")
    bench.row("Django application", per_second("django"), "/s", ratio("django"), note=f"{micros('django'):.0f} µs CPU")
    times = ratio("doorwarden", "django")
    bench.row("Doorwarden, times Django", times, "×", target="≥ 60", reached=times >= 60)
    names = {"bare": "bare axum", "authenticated": "authentication alone", "doorwarden": "Doorwarden, everything on", "django": "Django, DRF, PyJWT"}
    bench.series["me"] = [{"name": text, "per_second": per_second(name)} for name, text in names.items()]
    bench.series["me_rounds"] = rounds


def once(bench, peers):
    """Requests per second and microseconds of the server's CPU for one, of each peer."""
    measured = {}
    for name, (peer, token) in peers.items():
        before = peer.cpu_seconds()
        requests = [{"method": "GET", "path": "/me", "token": token}]
        seconds = bench.seconds(2)
        result = bench.load(address=peer.address, connections=CONNECTIONS, seconds=seconds, requests=requests)
        if set(result["statuses"]) != {"200"}:
            raise RuntimeError(f"{name} answered {result['statuses']}")
        used = peer.cpu_seconds() - before
        measured[name] = (result["per_second"], used / (result["per_second"] * seconds) * 1e6)
    return measured
