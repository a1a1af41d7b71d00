"""The table, the JSON and the plots."""

import json

from . import plot


def number(value):
    if value is None:
        return ""
    if isinstance(value, int) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cells(row):
    reached = {None: "", True: "yes", False: "NO"}[row["reached"]]
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    figure = f"{number(row['value'])} {row['unit']}".strip()
    return [row["what"], figure, ratio, row["target"], reached, row["note"]]


def line(row):
    return "  ".join(cell for cell in cells(row) if cell)


def table(rows):
    """In Markdown, which can also be read as it is."""
    lines = [["what", "figure", "ratio", "target", "reached", "note"], *map(cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    text = ["| " + " | ".join([*(c.ljust(w) for c, w in zip(line, widths)), line[5]]) + " |" for line in lines]
    text.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|---|")
    return "\n".join(text)


def write(folder, name, machine, rows, series):
    written = []

    def put(file, text):
        (folder / file).write_text(text)
        written.append(folder / file)

    put(f"{name}.json", json.dumps({"machine": machine, "rows": rows, "series": series}, indent=1, ensure_ascii=False) + "\n")
    put(f"{name}.md", table(rows) + "\n")
    prefix = "" if name == "results" else f"{name}-"
    if "me" in series:
        bars = [(one["name"], one["per_second"]) for one in series["me"]]
        put(f"{prefix}me.svg", plot.bars("GET /me with a token, answers per second", bars))
    if series.get("sessions"):
        grown = series["sessions"]
        lines = {}
        for operation in ("check", "refresh", "list", "revoke"):
            for rank in ("p50", "p99"):
                points = [(one["sessions"], one[operation][f"{rank}_us"]) for one in grown]
                lines[f"{operation} {rank}"] = points
        put(f"{prefix}sessions.svg", plot.lines("Microseconds of one operation, by sessions in the database (SQLite)", lines))
    return written
