"""What the tests of the embedded gateway's page have in common."""

import json

from conftest import request


def push(address, path, *lines):
    body = "".join(f"{line}\n" for line in lines)
    assert request(address, "POST", path, body.encode()) == (200, "")


RUN = (
    *(f"gangplank_train_{name} {{}}" for name in ("loss", "val_loss", "epochs_count")),
    'gangplank_train_status{{status="running"}} 1',
    "# TYPE gangplank_train_model_weights histogram",
    *(f'gangplank_train_model_weights_bucket{{{{le="{b}"}}}} {{}}' for b in (-1, 0, 1, "+Inf")),
    *(
        f'gangplank_train_weights_norm{{{{layer="a/long/path/of/a/layer_{i}"}}}} 1'
        for i in range(9)
    ),
)


def push_epochs(address, path, *epochs):
    for epoch in epochs:
        push(address, path, *(line.format(epoch) for line in RUN))


def numbers(page, card):
    """The table of a card's numbers, opened if it is not: its rows as texts."""
    page.value(f"document.querySelector({card!r}).querySelector('details').open = true")
    rows = page.awaited(
        f"(() => {{ const rows = document.querySelector({card!r}).querySelectorAll('tbody tr');"
        "return rows.length && JSON.stringify("
        "[...rows].map((row) => [...row.cells].map((cell) => cell.textContent))) })()"
    )
    return json.loads(rows)


def chart(title):
    return f'[data-chart="{title}"]'


def text(page, selector):
    return page.value(f"document.querySelector({selector!r})?.innerText")
