"""Inside the process: checks of tokens and passkeys, the filter of breached passwords, memory of sessions, and how cost grows with their number."""

import shutil


def check(bench):
    got = bench.check("tokens", bench.folder("tokens"))
    for what, name, most in (
        ("session token with freshness, hot", "session_hot_ns", 500),
        ("session token with freshness, 10,000 in turn", "session_rotating_ns", 1000),
        ("access token seen before, hot", "access_seen_ns", 1000),
        ("access token seen before, 2,000 in turn", "access_seen_rotating_ns", 1000),
    ):
        bench.row(what, got[name], "ns", target=f"< {most}", reached=got[name] < most)
    for what, name in (("session token", "session_allocations"), ("access token seen before", "access_seen_allocations")):
        bench.row(f"allocations of a check, {what}", got[name], "", target="0", reached=got[name] == 0)
    more = got["eddsa_new_more_ns"]
    note = f"the signature alone {got['eddsa_bare_ns'] / 1000:.1f} µs"
    bench.row("new EdDSA token, above its signature", more, "ns", target="< 1000", reached=more < 1000, note=note)


def limits(bench):
    folder = bench.folder("limits")
    got = bench.check("limits", folder)
    shutil.rmtree(folder)
    among = f"{got['addresses']:,} addresses in turn"
    hot = got["hot_ns"]
    bench.row(f"check of a limit, {got['hot_addresses']:,} addresses in turn", hot, "ns", target="< 200", reached=hot < 200)
    bench.row(f"check of a limit, {among}", got["ns"], "ns", note="the table lies in memory, not in a cache")
    each = got["allocations"]
    note = f"memory grew by {got['grown_bytes']:,} bytes"
    bench.row("allocations of a check of a limit", each, "", target="0", reached=each == 0, note=note)


def passkeys(bench):
    for got in bench.check("passkeys"):
        whole, bare = got["whole_ns"], got["bare_ns"]
        more = 100 * (whole - bare) / bare
        note = f"{1e9 / whole:,.0f}/s; the signature alone {1e9 / bare:,.0f}/s"
        bench.row(f"passkey with {got['algorithm']}, above its signature", more, "%", target="< 15", reached=more < 15, note=note)


def filter(bench):
    folder = bench.folder("filter")
    got = bench.check("filter", folder, 1_000_000 if bench.size == "quick" else 10_000_000)
    shutil.rmtree(folder)
    among = f"among {got['entries']:,}"
    each = got["bytes_each"]
    bench.row("breached passwords, size of each", each, "bytes", target="< 2.1", reached=each < 2.1)
    missed = got["missed"]
    bench.row(f"breached passwords that are not found, {among}", missed, "", target="0", reached=missed == 0)
    # The probability is 1 in 65,536; four standard deviations more are chance.
    expected = got["others"] / 65_536
    most = expected + 4 * expected**0.5
    what = f"other passwords that are found, of {got['others']:,}"
    bench.row(what, got["found"], "", target=f"< {most:.0f}", reached=got["found"] < most, note=f"{expected:.0f} are expected: 1 in 65,536")
    for what, name in (("known", "hits"), ("other", "misses")):
        bench.row(f"look-ups of {what} passwords in a file {among}", got[f"{name}_per_second"], "/s")
    note = f"at most {got['peak_bytes'] / 2**20:.0f} MiB of memory" if got["peak_bytes"] else ""
    bench.row("breached passwords, built", got["build_per_second"], "/s", note=note)


def live(bench):
    folder = bench.folder("live")
    got = bench.check("live", folder, 100_000 if bench.size == "quick" else 1_000_000)
    shutil.rmtree(folder)
    each = got["bytes_each"]
    note = f"{got['sessions']:,} sessions; a cold view reads {got['cold_reads_per_second']:,.0f}/s"
    bench.row("memory of a live session", each, "bytes", target="< 72", reached=each < 72, note=note)


def sessions(bench):
    powers = {"quick": range(3, 6), "usual": range(3, 7), "full": range(3, 8)}[bench.size]
    # Kept as it grows: what was measured before a failure is still worth a plot.
    grown = bench.series["sessions"] = []
    for power in powers:
        folder = bench.folder("sessions")
        got = bench.check("sessions", folder, 10**power)
        shutil.rmtree(folder)
        grown.append(got)
        text = ", ".join(f"{name} {got[name]['p50_us']:.0f}/{got[name]['p99_us']:.0f}" for name in ("check", "check_cold", "refresh", "list", "revoke"))
        bench.row(f"among {10**power:,} sessions, SQLite", note=f"p50/p99 µs: {text}")
