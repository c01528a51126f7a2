"""The embedded gateway's page in a real browser, beside the gateway that it shows."""

import json

import keras
import pytest
from conftest import awaited, fetched
from live_page import chart, numbers, push, push_epochs, text
from runs import fit
from samples import metrics_of

from gangplank import HISTOGRAM_WEIGHT_BUCKETS_0_3, TrainTestExporter
from gangplank.gateway import Gateway


def test_a_run_as_it_goes_on(browser, address, model, data):
    """Each epoch waits for its push, so that what the gateway showed then is known."""
    shown = []

    def note(epoch, logs):
        def is_there():
            metrics = metrics_of(address, "mnist")
            return metrics if metrics.get("gangplank_train_epochs_count") == epoch + 1 else None

        shown.append(awaited(is_there))

    with browser.page(f"http://{address}/") as page:
        page.awaited("document.querySelector('#empty')?.hidden === false")
        assert f'TrainTestExporter("{address}", "mnist")' in text(page, "#snippet")
        assert not page.value("document.querySelector('#main').checkVisibility()")
        exporter = TrainTestExporter(
            address,
            "mnist",
            histogram_buckets=HISTOGRAM_WEIGHT_BUCKETS_0_3,
            histogram_freq=1,
            histogram_per="layer",
            statistics="layer",
        )
        noted = keras.callbacks.LambdaCallback(on_epoch_end=note)
        fit(model, data, exporter, noted, epochs=3, validation_split=0.1)
        model.evaluate(*data, callbacks=[exporter], verbose=0)
        page.awaited("document.querySelector('.chip')?.dataset.status === 'completed'")
        # With the test, the legend has three lines; then what they are at.
        page.awaited("document.querySelectorAll('[data-chart=loss] .legend li').length === 4")

        assert not page.value("document.querySelector('#empty').checkVisibility()")
        assert "mnist" in text(page, "#runs")
        assert "epoch 3 · " in text(page, "#runs")
        assert "27 weights" in text(page, "#runs")
        for name in ("loss", "accuracy"):
            rows = [[float(cell) for cell in row if cell] for row in numbers(page, chart(name))]
            expected = [
                [
                    metrics["gangplank_train_epochs_count"],
                    metrics[f"gangplank_train_{name}"],
                    metrics[f"gangplank_train_val_{name}"],
                ]
                for metrics in shown
            ]
            expected[-1].append(metrics_of(address, "mnist")[f"gangplank_test_{name}"])
            assert rows == expected

        counts = [int(count) for _, count, _ in numbers(page, '[data-histogram="The whole model"]')]
        last = metrics_of(address, "mnist")
        bounds = [*HISTOGRAM_WEIGHT_BUCKETS_0_3, float("inf")]
        totals = [last["gangplank_train_model_weights_bucket", bound] for bound in bounds]
        assert counts == [b - a for a, b in zip([0, *totals], totals, strict=False)]
        (layer,) = (each.path for each in model.layers)
        assert counts == [
            int(count) for _, count, _ in numbers(page, f'[data-histogram="{layer}"]')
        ]

        (statistics,) = json.loads(
            page.value(
                "JSON.stringify([...document.querySelectorAll('#statistics-table tbody tr')]"
                ".map((row) => [...row.cells].map((cell) => cell.textContent)))"
            )
        )
        assert statistics[0] == layer
        norm = metrics_of(address, "mnist", layer=layer)["gangplank_train_weights_norm"]
        assert float(statistics[1]) == pytest.approx(norm, rel=1e-3)
        assert page.complaints() == []
        # A page that is opened late shows the same.
        with browser.page(f"http://{address}/") as late:
            late.awaited("!!document.querySelector('[data-chart=loss]')")
            assert numbers(late, chart("loss")) == numbers(page, chart("loss"))


@pytest.mark.parametrize(
    ("train", "test", "shown"),
    [
        ("running", "failed", "▶ running"),
        ("completed", "running", "▶ test running"),
        ("completed", "failed", "✗ test failed"),
        ("completed", "completed", "✓ completed"),
        ("failed", "completed", "✗ failed"),
    ],
)
def test_how_a_run_of_both_phases_goes(browser, address, train, test, shown):
    with browser.page(f"http://{address}/") as page:
        statuses = {"train": train, "test": test}.items()
        lines = (f'gangplank_{phase}_status{{status="{status}"}} 1' for phase, status in statuses)
        push(address, "/metrics/job/both", *lines)
        page.awaited(f"document.querySelector('.chip')?.textContent === '{shown}'")


def test_names_are_texts(browser, address):
    script = "<script>alert(1)</script>"
    image = "<img src=x onerror=alert(1)>"
    push(address, "/metrics/job@base64/PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg", f'x{{l="{image}"}} 1')
    path = f"/metrics/job/a/run/{image.replace(' ', '%20')}"
    push(
        address,
        path,
        f'# TYPE h histogram\nh_bucket{{l="{script}",le="1"}} 1',
        f'gangplank_train_weights_norm{{layer="{script}"}} 1',
    )
    with browser.page(f"http://{address}/") as page:
        page.awaited("document.querySelectorAll('.run').length === 2")
        page.awaited("!!document.querySelector('[data-histogram]')")
        assert script in text(page, "#runs")
        assert f"run {image}" in text(page, "#runs")
        assert image in text(page, chart("x"))
        assert script in text(page, "#statistics-table")
        assert script in text(page, "#histograms")
        elements = "document.querySelectorAll('script:not([src]), img:not([src^=page])').length"
        assert page.value(elements) == 0
        assert page.complaints() == []


def test_what_is_not_the_pages_own_is_blocked(browser, address):
    with browser.page(f"http://{address}/") as page:
        page.awaited("!!document.body && document.querySelector('#empty')?.hidden === false")
        page.value(
            "const script = document.createElement('script');"
            "script.textContent = 'window.ran = 1'; document.body.append(script)"
        )
        assert page.value("window.ran") is None
        other = "http://127.0.0.1:1/"
        assert page.value(f"fetch({other!r}).then(() => 'sent', () => 'blocked')") == "blocked"
        blocked = [complaint.get("text", "") for complaint in page.complaints()]
        for directive in ("script-src 'self'", "connect-src 'self'"):
            assert [text for text in blocked if directive in text]


def test_weights_that_are_all_nan(browser, address):
    push_epochs(address, "/metrics/job/a", 0)
    with browser.page(f"http://{address}/") as page:
        page.awaited("!!document.querySelector('.reading')?.textContent")
        assert text(page, ".reading") == "epoch 0: no weights (NaN are not counted)"
        assert page.complaints() == []


def test_a_histogram_whose_counts_are_none(browser, address):
    buckets = [f'h_bucket{{le="{bound}"}} {count}' for bound, count in (("1", 5), ("2", 2))]
    rest = ['h_bucket{le="+Inf"} 5', "h_count 5", 'gangplank_train_weights_norm{layer="d"} 3']
    push(address, "/metrics/job/a", "# TYPE h histogram", *buckets, *rest)
    with browser.page(f"http://{address}/") as page:
        page.awaited("!!document.querySelector('[data-histogram]')")
        page.awaited("document.querySelector('#statistics-table')?.textContent.includes('d')")
        assert page.complaints() == []


def test_a_cursor_on_a_snapshot_that_is_thinned_away(browser, address):
    push_epochs(address, "/metrics/job/a", *range(1, 129))
    with browser.page(f"http://{address}/") as page:
        page.awaited("!!document.querySelector('[data-histogram]')")
        page.value("document.querySelector('[data-histogram] canvas').focus()")
        page.press("End")
        assert text(page, ".reading").startswith("epoch 128: ")
        push_epochs(address, "/metrics/job/a", 129)
        page.awaited("document.querySelector('.reading').innerText.startsWith('epoch 129: ')")
        assert page.complaints() == []


def test_a_histogram_whose_bounds_change_is_one(browser, address):
    def push_histogram(bound):
        buckets = [f'h_bucket{{le="{each}"}} {bound}' for each in (0, bound, "+Inf")]
        push(address, "/metrics/job/a", "# TYPE h histogram", *buckets, f"h_count {bound}")

    push_histogram(1)
    with browser.page(f"http://{address}/") as page:
        page.awaited("!!document.querySelector('[data-histogram]')")
        push_histogram(2)
        readings = "[...document.querySelectorAll('.reading')].map((each) => each.innerText)"
        page.awaited(f"{readings}.some((each) => each.endsWith(': 2 weights'))")
        assert page.value(f"{readings}.length") == 1
        assert page.complaints() == []


def test_on_a_telephone_and_in_the_dark(browser, address):
    push_epochs(address, "/metrics/job/a-job-of-a-rather-long-name-that-has-to-wrap", 1, 2, 3)
    push_epochs(address, "/metrics/job/another/run/2", 1, 2)
    with browser.page(f"http://{address}/", 360, 740) as page:
        page.awaited("document.querySelectorAll('.card canvas').length > 2")
        seen = []
        for dark in (False, True):
            page.use_theme(dark=dark)
            assert page.value("document.documentElement.scrollWidth") == 360
            style = "getComputedStyle(document.body)"
            seen.append(page.value(f"{style}.backgroundColor + {style}.color"))
        assert seen[0] != seen[1]
        assert page.complaints() == []


def test_by_the_keyboard(browser, address):
    push_epochs(address, "/metrics/job/a", 1, 2, 3)
    with browser.page(f"http://{address}/") as page:
        page.awaited("!!document.querySelector('[data-histogram]')")
        reached = []
        for _ in range(30):
            page.press("Tab")
            reached.append(page.value("document.activeElement.className"))
            if reached[-1] == "run":
                page.press(" ")
                assert page.value("document.activeElement.ariaPressed") == "false"
                assert page.value("document.querySelector('#metrics-section').hidden")
                page.press("Enter")
                assert page.value("document.activeElement.ariaPressed") == "true"
            elif reached[-1] == "plot":
                break
        assert reached[0] == "skip"
        said = f"document.querySelector({chart('loss')!r}).querySelector('[aria-live]').textContent"
        for key, expected in (("Home", 1), ("ArrowRight", 2), ("End", 3), ("ArrowLeft", 2)):
            page.press(key)
            assert (
                page.value(said) == f"epoch {expected}, training {expected}, validation {expected}"
            )
        page.press("Tab")
        page.press("Enter")  # on "Numbers"
        assert page.value(f"document.querySelector({chart('loss')!r} + ' details').open")
        page.press("Tab")
        page.press("Tab")
        page.press("Home")
        assert text(page, ".reading").startswith("epoch 1: ")


def test_a_gateway_that_ends_and_one_that_comes_after_it(browser, port):
    with Gateway(port) as gateway:
        push_epochs(gateway.address, "/metrics/job/first", 1)
        url = f"http://{gateway.address}/"
        page = browser.page(url)
        opened = page.__enter__()
        opened.awaited("!!document.querySelector('.run')")
    try:
        opened.awaited("document.querySelector('#live').dataset.state === 'gone'")
        assert "has not answered for" in text(opened, "#live")
        assert "first" in text(opened, "#runs")
        opened.value("document.querySelector('.run').click()")
        assert opened.value("document.querySelector('.run').ariaPressed") == "false"
        with Gateway(port) as gateway:
            push_epochs(gateway.address, "/metrics/job/second", 1)
            opened.awaited("document.querySelector('.run .name').textContent === 'second'")
            # It has the number of the one that was hidden.
            assert opened.value("document.querySelector('.run').ariaPressed") == "true"
            assert "Live" in text(opened, "#live")
            assert fetched(f"{url}-/ready") == "OK"
    finally:
        page.__exit__(None, None, None)
