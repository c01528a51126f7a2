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
        "drift classes": classes_table(result),
        "drift speed": speed_table(result),
    }


def put_tables(result):
    for name, lines in tables(result).items():
        put(DOCUMENT, name, lines)


def rows_of(result, part):
    """What was measured of a part, if anything was."""
    return result.get(part, {}).get("rows", [])


def power_table(result):
    rows = rows_of(result, "detection") + rows_of(result, "peers")
    windows = sorted({each["window"] for each in rows})
    columns = [("gangplank", window) for window in windows]
    for each in rows:
        if (column := (each["detector"], each["window"])) not in columns:
            columns.append(column)
    versions = result["detection"]["versions"] | {
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
    rows = [each for each in rows_of(result, "choices") if each["shift"] == NONE]
    windows = [*dict.fromkeys(each["window"] for each in rows)]
    found = {(each["detector"], each["window"]): each for each in rows}
    heads = ["the reference is of samples", "level", *map(str, windows)]
    lines = [heads, ["---"] * len(heads)]
    for name in dict.fromkeys(each["detector"] for each in rows):
        for level in ("0.05", "0.01"):
            cells = (found.get((name, window)) for window in windows)
            shares = ("" if each is None else share(each[level]) for each in cells)
            lines.append([name, level, *shares])
    return joined(lines)


def families_table(result):
    rows = [each for each in rows_of(result, "choices") if each["shift"] != NONE]
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
        for each in rows_of(result, "references")
    ]
    return joined(lines)


def buckets_table(result):
    rows = rows_of(result, "buckets")
    heads = ["buckets", *rows[0]["kept"]]
    lines = [heads, ["---"] * len(heads)]
    lines += [
        [each["buckets"], *(f"{kept:.0%}" for kept in each["kept"].values())] for each in rows
    ]
    return joined(lines)


def classes_table(result):
    columns = [f"{name}, {level}" for name in ("gangplank", "SciPy") for level in (0.05, 0.01)]
    heads = ["drift of a window of 500", *columns]
    lines = [heads, ["---"] * len(heads)]
    lines += [
        [each["case"], *(share(each[column]) for column in columns)]
        for each in rows_of(result, "classes")
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
        for each in rows_of(result, "speed")
    ]
    return joined(lines)


def trials(rows, shift):
    return min(each["trials"] for each in rows if each["shift"] == shift and "version" not in each)


def share(value):
    return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


def joined(lines):
    return [f"| {' | '.join(line)} |" for line in lines]
