"""Sends digits to app.py, then the same turned by 30 degrees, and waits for the alert.

python examples/serving/client.py
"""

import argparse
import json
import time
import urllib.request

from digits import load_parts
from scipy.ndimage import rotate

TOGETHER = 20  # images in a request


def answer(url, **content):
    """The answer of a server, as JSON; `content` is posted."""
    data = json.dumps(content).encode() if content else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def send(server, images, labels):
    """How many of the digits the server has recognized."""
    right = 0
    for i in range(0, len(images), TOGETHER):
        digits = answer(f"{server}/predict", images=images[i : i + TOGETHER].tolist())["digits"]
        right += sum(digits == labels[i : i + TOGETHER])
    return right


def wait_for_alert(alertmanager, timeout):
    """The summary of the alert, once it has arrived."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        for alert in answer(f"{alertmanager}/api/v2/alerts"):
            if alert["labels"]["alertname"] == "ServingDrifts":
                return alert["annotations"]["summary"]
        time.sleep(1)
    raise TimeoutError(f"No alert has arrived in {timeout} seconds.")


def main():
    """Sends, waits and tells."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--server", default="http://127.0.0.1:8000", help="address of app.py")
    parser.add_argument("--alertmanager", default="http://127.0.0.1:19093", help="its address")
    options = parser.parse_args()
    _, _, (images, labels) = load_parts()
    turned = rotate(images.reshape(-1, 8, 8), 30, (1, 2), reshape=False, order=1)
    for what, sent in (("", images), (" turned by 30 degrees", turned.reshape(images.shape))):
        right = send(options.server, sent, labels)
        print(f"{len(sent)} digits{what}: {right / len(sent):.1%} are recognized.", flush=True)
    print("Waiting for the alert …", flush=True)
    print(wait_for_alert(options.alertmanager, timeout=60))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("interrupted") from None
    except OSError as error:
        raise SystemExit(f"{error}. Is `make serving` still running?") from None
