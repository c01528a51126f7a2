"""A headless Chromium, driven by its own protocol through a pipe."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

PROGRAM = "chromium"
MISSING = "Chromium is missing. On Debian: apt-get install chromium"
LONGEST = 120.0  # seconds that a busy machine may take for an answer
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}


@contextlib.contextmanager
def chromium():
    """A browser, until the end of the block."""
    path = shutil.which(PROGRAM)
    assert path is not None, MISSING
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        requests, answers = os.pipe(), os.pipe()
        # Chromium wants them as 3 and 4, which may be ends of the pipes themselves.
        its_ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (requests[0], answers[1])]
        os.close(requests[0])
        os.close(answers[1])
        process = subprocess.Popen(
            [
                *("bash", "-c", f'exec "$@" 3<&{its_ends[0]} 4>&{its_ends[1]}', "bash", path),
                *("--headless", "--remote-debugging-pipe", f"--user-data-dir={profile}"),
                *("--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"),
                *("--disable-background-networking", "--hide-scrollbars", "--lang=en"),
                *(["--no-sandbox"] if os.geteuid() == 0 else []),
            ],
            pass_fds=its_ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in its_ends:
            os.close(fd)
        browser = Browser(requests[1], answers[0])
        try:
            yield browser
            browser.call("Browser.close")
        finally:
            os.close(requests[1])
            os.close(answers[0])
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Browser:
    def __init__(self, requests, answers):
        self._requests, self._answers = requests, answers
        self._read = b""
        self._last = 0
        self.events = []

    def call(self, method, session=None, **params):
        """What the browser answers; the events that come before it are noted."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._requests, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            self.events.append(answer)

    def _next(self):
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._answers], [], [], LONGEST)
            assert ready, "Chromium does not answer"
            data = os.read(self._answers, 1 << 20)
            assert data, "Chromium has ended"
            self._read += data
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)

    @contextlib.contextmanager
    def page(self, url, width=1280, height=900, *, dark=False, scale=1):
        """A page of its own, open at `url`."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        page.use_theme(dark=dark)
        page.call("Page.navigate", url=url)
        try:
            yield page
        finally:
            self.call("Target.closeTarget", targetId=target)


class Page:
    def __init__(self, browser, session):
        self._browser, self._session = browser, session

    def call(self, method, **params):
        return self._browser.call(method, self._session, **params)

    def value(self, expression):
        """What a JavaScript expression is, awaited; None while the page loads."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, (expression, answer)
        return answer["result"].get("value")

    def awaited(self, expression):
        """The first value of a JavaScript expression that is true."""
        end = time.monotonic() + LONGEST
        while not (value := self.value(expression)):
            assert time.monotonic() < end, (expression, self.complaints())
            time.sleep(0.02)
        return value

    def press(self, key):
        """A key goes down and up."""
        code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": {"Enter": "\r", " ": " "}[key]} if key in ("Enter", " ") else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def use_theme(self, *, dark):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def complaints(self):
        """The errors and warnings of the console, exceptions, and what a policy has blocked."""
        self.value("0")  # what happened before it has been told then
        told = []
        for event in self._browser.events:
            params = event.get("params", {})
            if event.get("sessionId") != self._session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                told.append(params["exceptionDetails"])
            elif event["method"] == "Log.entryAdded":
                told.append(params["entry"])
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] != "info":
                told.append(params["args"])
        return told

    def screenshot(self, height=None):
        """The page as a PNG, from its top, in all its length or `height` pixels of it."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"]}
        answer = self.call(
            "Page.captureScreenshot", clip={**clip, "scale": 1}, captureBeyondViewport=True
        )
        return base64.b64decode(answer["data"])
