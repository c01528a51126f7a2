"""The charts of the embedded gateway's page in a real browser: of many, over time, of serving."""

import json

import keras
import numpy as np
import pytest
from conftest import fetched
from live_page import chart, numbers, push, push_epochs, text
from prometheus_client import CollectorRegistry, push_to_gateway

from gangplank import Drift, PrometheusModel


def test_the_numbers_are_all_there_over_time_too(browser, address):
    push_epochs(address, "/metrics/job/a", 1, 2, 3)
    push(address, "/metrics/job/a", "gangplank_train_loss NaN", "gangplank_train_epochs_count 4")
    with browser.page(f"http://{address}/") as page:
        page.awaited("!!document.querySelector('[data-chart=loss]')")
        assert [row[1] for row in numbers(page, chart("loss"))] == ["1", "2", "3", "NaN"]
        page.value("document.querySelector('[value=time]').click()")
        assert [row[1] for row in numbers(page, chart("loss"))] == ["1", "2", "3", "NaN"]
        assert ":" in numbers(page, chart("loss"))[0][0]
        assert page.complaints() == []


def test_the_axis_of_time_shows_whole_seconds_and_days_where_there_are_several(browser, address):
    def axis_of(times):
        """The first and the last second of a chart's axis, and what stands at its ticks."""
        return page.value(
            f"""(async () => {{
                const {{ Chart }} = await import("/page/charts.js");
                const chart = new Chart("of time");
                document.body.append(chart.element);
                const series = {{ times: {times}, epochs: {[None] * len(times)}, values: {times} }};
                const look = {{ colour: "line-1", dash: [] }};
                chart.update([{{ label: "a", mark: "", look, series }}], "time");
                await new Promise(requestAnimationFrame);
                const {{ scales, axes }} = chart.plot;
                return [scales.x.min, scales.x.max, axes[0]._values.map(String)];
            }})()""".replace("None", "null")
        )

    noon, day = 1_800_014_400, 86_400
    with browser.page(f"http://{address}/") as page:
        first, last, ticks = axis_of([noon])
        assert (first, last) == (noon - 30, noon + 30)
        assert {len(tick) for tick in ticks} == {len("12:00:00")}
        first, last, ticks = axis_of([])
        now = page.value("Date.now() / 1000")
        assert now - 60 <= (first + last) / 2 <= now
        for end in (0.3, 1, 5, 100):
            *_, ticks = axis_of([noon, noon + end])
            assert len(set(ticks)) == len(ticks) > 0
        first, last, ticks = axis_of([noon, noon + 2 * day])
        assert (first, last) == (noon, noon + 2 * day)
        days = [tick.partition("\n")[2] for tick in ticks]
        assert days[0]
        assert 2 <= len(set(days) - {""}) <= 3
        assert "" in days
        assert page.complaints() == []


def test_a_chart_of_very_many_series_shows_some_until_all_are_wanted(browser, address):
    push(address, "/metrics/job/a", *(f'seen{{class="{i}"}} {i}' for i in range(1_500)))
    with browser.page(f"http://{address}/") as page:
        page.awaited("!!document.querySelector('[data-chart=seen]')")
        assert len(numbers(page, chart("seen"))[0]) == 1 + 21
        looks = page.value(
            f"new Set([...document.querySelectorAll({chart('seen') + ' .legend line'!r})]"
            ".map((line) => line.style.stroke + line.getAttribute('stroke-dasharray'))).size"
        )
        assert looks == 21
        cut = f"{chart('seen')} .cut"
        assert text(page, cut) == "The first 21 of 1,500 series are shown. Show all 1,500"
        page.value(f"document.querySelector({cut + ' button'!r}).click()")
        assert numbers(page, chart("seen"))[0][1:] == [str(i) for i in range(1_500)]
        assert not page.value(f"document.querySelector({cut!r}).checkVisibility()")
        assert page.value("document.activeElement.className") == "plot"
        assert page.complaints() == []


@pytest.mark.parametrize(
    ("of_one", "section", "cards", "most"),
    [
        ("seen_{0} {0}", "other", "[data-chart]", 60),
        ('h_bucket{{layer="{0}",le="1"}} 1', "weights", "[data-histogram]", 12),
    ],
)
def test_a_section_of_very_many_cards_shows_some(browser, address, of_one, section, cards, most):
    lines = (of_one.format(i) for i in range(most + 5))
    push(address, "/metrics/job/a", "# TYPE h histogram", *lines)
    shown = f"document.querySelectorAll({f'#{section}-section {cards}'!r}).length"
    cut = f"#{section}-section > .cut"
    with browser.page(f"http://{address}/") as page:
        page.awaited(f"{shown} === {most}")
        assert text(page, cut).startswith(f"The first {most} of {most + 5} ")
        page.value(f"document.querySelector({cut + ' button'!r}).click()")
        page.awaited(f"{shown} === {most + 5}")
        card = "document.activeElement.closest('article').parentElement.children"
        assert page.value(f"[...{card}].indexOf(document.activeElement.closest('article'))") == most
        assert not page.value(f"document.querySelector({cut!r}).checkVisibility()")
        assert page.complaints() == []


def test_a_served_model(browser, address):
    registry = CollectorRegistry()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    found = Drift(p_value=0.25)
    served = PrometheusModel(
        model, registry, None, lambda *_: found, name="digits", drift_queue_size=0
    )
    seconds, pushes = [], []
    for samples in (10, 40):
        served.predict(np.zeros((samples, 4)), verbose=0)
        taken = "gangplank_predict_time_seconds_total"
        seconds.append(registry.get_sample_value(taken, {"model": "digits", "version": ""}))
        push_to_gateway(address, "served", registry)
        (run,) = json.loads(fetched(f"http://{address}/api/v1/history"))["runs"]
        pushes.append(run["pushed"])
    with browser.page(f"http://{address}/") as page:
        page.awaited("document.querySelector('#serving-section')?.hidden === false")
        titles = json.loads(
            page.value(
                "JSON.stringify([...document.querySelectorAll('[data-chart]')]"
                ".map((card) => card.dataset.chart))"
            )
        )
        speed, slowness = "predict: samples a second", "predict: seconds a sample"
        p_value, dropped = "served: drift p value", "served: drift dropped"
        assert titles[:2] == [speed, slowness]
        assert sorted(titles[2:]) == [dropped, p_value, "served: in flight samples"]
        ((_, samples),) = numbers(page, chart(speed))
        assert float(samples) == pytest.approx(40 / (pushes[1] - pushes[0]))
        ((_, slow),) = numbers(page, chart(slowness))
        assert float(slow) == pytest.approx((seconds[1] - seconds[0]) / 40, rel=1e-3)
        assert [row[1] for row in numbers(page, chart(p_value))] == ["0.25", "0.25"]
        assert page.value("document.querySelector('#weights-section').hidden")
        assert page.complaints() == []
