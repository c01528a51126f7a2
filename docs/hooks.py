"""What the site has from outside of `docs/`: documents that lie beside what they speak of."""

from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
OUTSIDE = (
    "CHANGELOG.md",
    "benchmarks/README.md",
    "benchmarks/results/race.svg",
    "benchmarks/results/device-on-cpu.md",
    "benchmarks/results/device.md",
    "benchmarks/results/device-h100.md",
    "benchmarks/results/faults.md",
    "examples/README.md",
    "examples/train.py",
    "examples/test.py",
    "examples/serving/README.md",
    "examples/stack/README.md",
)


def on_files(files, config):
    for path in OUTSIDE:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """In the repository these documents lie one folder higher than in the site."""
    if page.file.src_uri in OUTSIDE:
        return markdown.replace("../docs/", "../").replace("](docs/", "](")
    return markdown.replace("](../", "](")
