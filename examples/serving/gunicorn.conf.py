"""Has gunicorn serve app.py with several workers, whose metrics are added up.

gunicorn --config examples/serving/gunicorn.conf.py
"""

import os
import shutil
import tempfile
from pathlib import Path

# prometheus_client keeps the metrics of all workers in files there. It looks for the folder's name
# when it is imported, so that it must not be imported before.
if is_ours := "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="digits-")

bind = "127.0.0.1:8000"
chdir = str(Path(__file__).parent)
control_socket_disable = True
worker_class = "asgi"
workers = 2
wsgi_app = "app:app"


def child_exit(server, worker):
    """A worker has ended: what was under way there no longer is."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)


def on_exit(server):
    """All have ended, and with them their metrics."""
    if is_ours:
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])
