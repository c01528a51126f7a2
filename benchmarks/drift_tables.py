"""The tables of docs/drift.md, made of what `drift.py` has measured."""

from pathlib import Path

from report import put

DOCUMENT = Path(__file__).parents[1] / "docs" / "drift.md"

NONE = "none"


def tables(result):
    """The lines of each table, by its name."""
    return {
        "drift power": power_table(result),
        "drift alarms": alarms_table(result),
        "drift families": families_table(result),
        "drift references": references_table(result),
        "drift buckets": buckets_table(result),
        "drift speed": speed_table(result),
    }


def put_tables(result):
    for name, lines in tables(result).items():
        put(DOCUMENT, name, lines)


def power_table(result):
    rows = result["detection"] + result.get("peers", [])
    windows = sorted({each["window"] for each in rows})
    columns = [("gangplank", window) for window in windows]
    for each in rows:
        if (column := (each["detector"], each["window"])) not in columns:
            columns.append(column)
    versions = result["versions"] | {
        each["detector"]: each["version"] for each in rows if "version" in each
    }
    versions["SciPy"] = versions["scipy"]
    heads = ["shift", *(f"{name} {versions[name]}, {window}" for name, window in columns)]
    found = {(each["shift"], each["detector"], each["window"]): each for each in rows}
    lines = [heads, ["---"] * len(heads)]
    for shift in dict.fromkeys(each["shift"] for each in rows):
        shares = (found.get((shift, *column)) for column in columns)
        cells = ("" if each is None else share(each["0.05"]) for each in shares)
        lines.append([f"none ({trials(rows, NONE):,} windows)" if shift == NONE else shift, *cells])
    return joined(lines)


def alarms_table(result):
    heads = ["window", "reference of", "at level 0.05", "at level 0.01"]
    lines = [heads, ["---"] * len(heads)]
    lines += [
        [
            str(each["window"]),
            {"held out": "samples held out", "trained on": "the training's"}[each["detector"]],
            share(each["0.05"]),
            share(each["0.01"]),
        ]
        for each in result["choices"]
        if each["shift"] == NONE
    ]
    return joined(lines)


def families_table(result):
    rows = [each for each in result["choices"] if each["shift"] != NONE]
    heads = ["tests corrected as", *dict.fromkeys(str(each["window"]) for each in rows)]
    lines = [heads, ["---"] * len(heads)]
    lines += [
        [name, *(share(each["0.05"]) for each in rows if each["detector"] == name)]
        for name in dict.fromkeys(each["detector"] for each in rows)
    ]
    return joined(lines)


def references_table(result):
    heads = ["samples of the reference", "alarms", "with the worst reference"]
    lines = [heads, ["---"] * len(heads)]
    lines += [
        [f"{each['size']:,}", share(each["mean"]), share(each["most"])]
        for each in result["references"]
    ]
    return joined(lines)


def buckets_table(result):
    rows = result["buckets"]
    heads = ["schema", "about", "buckets at most", *rows[0]["kept"]]
    lines = [heads, ["---"] * len(heads)]
    lines += [
        [
            str(each["schema"]),
            "the median or zero" if each["is_centred"] else "zero",
            str(each["buckets"]),
            *(f"{kept:.0%}" for kept in each["kept"].values()),
        ]
        for each in rows
    ]
    return joined(lines)


def speed_table(result):
    heads = ["window", "samples a call", "samples a second", "held", "at most"]
    lines = [heads, ["---"] * len(heads)]
    lines += [
        [
            f"{each['window']:,}",
            f"{each['batch']:,}",
            f"{each['samples_per_second']:,.0f}",
            f"{each['held_mib']:.1f} MiB",
            f"{each['peak_mib']:.1f} MiB",
        ]
        for each in result["speed"]
    ]
    return joined(lines)


def trials(rows, shift):
    return min(each["trials"] for each in rows if each["shift"] == shift and "version" not in each)


def share(value):
    return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


def joined(lines):
    return [f"| {' | '.join(line)} |" for line in lines]
