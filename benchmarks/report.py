"""Makes the tables of the README beside it, and the charts from the last results.

`make bench` runs it; each result stands between two comments of a Markdown file.
"""

import json
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
KERNEL_BOUNDS = (8, 24, 48, 256, 1024)
TABLE_SIZES = (10**5, 10**7, 10**9)


def of_group(run, group):
    return [result for result in run["results"] if result["group"] == group]


def curves(run, group, parameter):
    """For each contestant, its points: the parameter and the median in seconds."""
    points = {}
    for result in of_group(run, group):
        median = result["median_s"]
        points.setdefault(result["contestant"], {})[result["params"][parameter]] = median
    return points


def machine(run):
    avx512 = "with AVX-512" if run["has_avx512"] else "without AVX-512"
    return f"{run['cores']} cores of an {run['processor']} {avx512}, Python {run['python']}"


def seconds(value):
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.2g} µs"


def race_table(run):
    points = curves(run, "weights", "size")
    reasons = {result["contestant"]: result["inexact"] for result in of_group(run, "weights")}
    order = sorted(points, key=lambda name: points[name].get(10**7, 100 * points[name][10**5]))
    heads = [machine(run), *(f"{size:.0e}".replace("e+0", "e") for size in TABLE_SIZES), "exact"]
    rows = [heads, ["---"] * len(heads)]
    for name in order:
        times = (points[name].get(size) for size in TABLE_SIZES)
        exact = "" if name == "reading once" else reasons[name] or "yes"
        rows.append([name, *("" if time is None else seconds(time) for time in times), exact])
    return [f"| {' | '.join(row)} |" for row in rows]


def promises_table(run):
    lines = ["| | measured | least | aim |", "| --- | --- | --- | --- |"]
    for result in of_group(run, "promises"):
        unit = result["unit"]
        shown = [f"{result[key]:.3g}{unit}" for key in ("measured", "least", "aim")]
        lines.append(f"| {result['promise']} | {' | '.join(shown)} |")
    return lines


def kernels_table(run):
    """Millions of values a second, of the 1e6 that each run counted."""
    rows = {}
    for result in run["results"]:
        params = result["params"]
        if "kernel" in result and params["bound_count"] in KERNEL_BOUNDS:
            rows.setdefault((params["name"], params["dtype"]), []).append(1 / result["median_s"])
    heads = ["", *(f"{bound_count:,} bounds" for bound_count in KERNEL_BOUNDS)]
    lines = [heads, ["---"] * len(heads)]
    lines += [
        [f"{name}, {dtype}", *map("{:,.0f}".format, row)] for (name, dtype), row in rows.items()
    ]
    return [f"| {' | '.join(line)} |" for line in lines]


def chart(axes, points, xlabel):
    for name, values in points.items():
        sizes, times = zip(*sorted(values.items()), strict=True)
        style = {"gangplank": "o-", "reading once": "k--"}.get(name, ".-")
        axes.loglog(sizes, times, style, label=name, linewidth=3 if name == "gangplank" else 1)
    axes.set_xlabel(xlabel)
    axes.set_ylabel("seconds")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=6)


def charts(run):
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(15, 5), layout="constrained")
    figure.suptitle(machine(run), fontsize=9)
    weights = curves(run, "weights", "size")
    chart(left, weights, "float32 weights, 13 bounds")
    bounds = curves(run, "bounds", "bound_count")
    reading = weights["reading once"][10**7]
    bounds["reading once"] = dict.fromkeys(bounds["gangplank"], reading)
    chart(middle, bounds, "bounds, 1e7 float32 weights")
    chart(right, curves(run, "variables", "variable_count"), "Keras variables of 200 weights")
    pyplot.rcParams["svg.hashsalt"] = "race"  # without which no two files are the same
    figure.savefig(RESULTS / "race.svg", metadata={"Date": None})


def put(path, name, lines):
    """Replaces what stands between the comments of that name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = path.read_text().split(begin)
    _, after = rest.split(end)
    path.write_text("\n".join([before + begin, "", *lines, "", end + after]))


if __name__ == "__main__":
    latest = json.loads((RESULTS / "latest.json").read_text())
    put(HERE / "README.md", "race", race_table(latest))
    put(HERE / "README.md", "promises", promises_table(latest))
    put(HERE / "README.md", "kernels", kernels_table(latest))
    charts(latest)
