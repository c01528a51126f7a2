"""What the embedded gateway answers to browsers, and to pages of others."""

import http.client
import json
import re
import subprocess
import sys
import zipfile

import pytest
from conftest import request
from documents import ROOT
from samples import sample, shown

from gangplank.gateway.page import _FILES


def answer(address, path, **headers):
    """The status, the headers and the body."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def test_the_page_is_for_whoever_asks(address):
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "text/html,application/xml;q=0.9"}):
        status, headers, page = answer(address, "/", **accept)
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert page.startswith("<!doctype html>")


def test_all_that_the_page_asks_for_is_there(address):
    asked = {"/"}
    for path in _FILES:
        status, headers, text = answer(address, path)
        assert status == 200
        assert headers["X-Content-Type-Options"] == "nosniff"
        asked |= {f"/{link}" for link in re.findall(r'(?:href|src)="(page/[^"]+)"', text)}
        asked |= {f"/page/{file}" for file in re.findall(r'from "\./([^"]+)"', text)}
    assert asked == _FILES.keys()
    for path in ("/page/", "/page/__init__.py", "/page/../server.py", "/page/uplot/LICENSE"):
        assert answer(address, path)[0] == 404


def test_the_wheel_has_the_page_and_the_licence_of_its_charts(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    page = "gangplank/gateway/page"
    assert {f"{page}/{file}" for file in (*_FILES.values(), "uplot/LICENSE")} <= packed
    assert [
        name for name in packed if name.endswith(f".dist-info/licenses/src/{page}/uplot/LICENSE")
    ]


def test_nothing_comes_from_elsewhere_or_from_within_the_page(address):
    _, headers, page = answer(address, "/")
    rules = headers["Content-Security-Policy"].split("; ")
    policy = dict(rule.split(" ", 1) for rule in rules)
    own = dict.fromkeys(("script-src", "style-src", "connect-src", "img-src"), "'self'")
    none = dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")
    assert policy == own | none
    assert "http:" not in page
    assert "https:" not in page
    assert not re.search(r"<script(?! type=\"module\" src=)|<style| style=| on\w+=", page)
    for path in (*_FILES, "/metrics", "/api/v1/history"):
        _, headers, _ = answer(address, path)
        assert not [name for name in headers if name.lower().startswith("access-control-")]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


READ = ("/", "/page/page.js", "/api/v1/history", "/api/v1/metrics", "/metrics", "/nowhere")


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "localhost:{}", "LOCALHOST", "[::1]:{}"])
def test_names_of_this_machine(address, host):
    host = host.format(address.partition(":")[2])
    assert [answer(address, path, Host=host)[0] for path in READ] == [200] * 5 + [404]


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:{}", "127.0.0.1.evil.example:{}"),
        *("localhost:{}@evil", "", "0.0.0.0:{}"),
    ],
)
def test_a_name_that_was_bound_to_this_machine_is_refused(address, host):
    host = host.format(address.partition(":")[2])
    for path in READ:
        status, _, text = answer(address, path, Host=host)
        assert status == 403
        assert "is asked as 127.0.0.1" in text


def test_pushes_come_from_programs_and_not_from_pages_of_others(address):
    port = address.partition(":")[2]
    path = "/metrics/job/a"
    # Prometheus's clients may name it as they like, and name no origin.
    assert request(address, "POST", path, b"x 1\n", Host="gateway.internal") == (200, "")
    assert request(address, "POST", path, b"y 1\n", Origin=f"http://{address}") == (200, "")
    rebound = {"Origin": f"http://evil.example:{port}", "Host": f"evil.example:{port}"}
    others = [{"Origin": origin} for origin in ("http://evil.example", "null", "http://[")]
    for headers in (*others, rebound):
        for method in ("POST", "PUT", "DELETE"):
            assert request(address, method, path, b"z 1\n", **headers)[0] == 403
    assert shown(address) == sample("x", 1, job="a") | sample("y", 1, job="a")


def history(address, query=""):
    return json.loads(answer(address, f"/api/v1/history{query}")[2])


def test_what_was_pushed_over_time(address):
    assert history(address)["runs"] == []
    for value in (1, 2):
        request(address, "POST", "/metrics/job/a/run/1", f'x{{l="m"}} {value}\n'.encode())
    first = history(address)
    (run,) = first["runs"]
    assert run["group"] == {"job": "a", "run": "1"}
    (series,) = run["series"]
    assert (series["name"], series["labels"], series["values"]) == ("x", {"l": "m"}, [1, 2])
    request(address, "PUT", "/metrics/job/a/run/1", b"x 3\n")
    request(address, "PUT", "/metrics/job/a/run/1", b"x\n")
    (run,) = history(address, f"?after={first['until']}")["runs"]
    (series,) = run["series"]
    assert (series["labels"], series["values"]) == ({}, [3])
    request(address, "DELETE", "/metrics/job/a/run/1")
    assert history(address)["runs"][0]["deleted"]


def test_a_push_that_changes_a_type_is_told_of(address):
    request(address, "POST", "/metrics/job/a", b"x 1\n")
    request(address, "POST", "/metrics/job/a2", b"# TYPE x gauge\nx 1\n")
    assert [run["refused"] is not None for run in history(address)["runs"]] == [False, True]


@pytest.mark.parametrize("after", ["", "x", "nan", "inf", "1e999"])
def test_a_time_that_is_none(address, after):
    status, _, text = answer(address, f"/api/v1/history?after={after}&more=1")
    assert (status, "after must be a time" in text) == (400, True) if after else (200, False)
