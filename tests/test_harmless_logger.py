"""The log, which harms nobody who tells it something."""

import logging

from gangplank.harmless_logger import HarmlessLogger


def test_a_record_is_of_who_logs(caplog):
    HarmlessLogger("gangplank.tests").warning("%d of %d", 1, 2)
    (record,) = caplog.records
    assert (record.getMessage(), record.filename) == ("1 of 2", "test_harmless_logger.py")


def test_what_a_handler_raises_is_printed(capsys, monkeypatch):
    class Broken(logging.Handler):
        def handle(self, record):
            raise RuntimeError("it is full")

    logger = logging.getLogger("gangplank.tests")
    monkeypatch.setattr(logger, "handlers", [Broken()])
    HarmlessLogger("gangplank.tests").warning("Told.")
    assert "it is full" in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr", None)
    HarmlessLogger("gangplank.tests").warning("Told.")
