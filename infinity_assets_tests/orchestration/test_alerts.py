"""Failed blocking checks and the webhook that is told of them."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import pytest

from infinity_assets.automation.alerts import Cursor
from infinity_assets.automation.webhook import WEBHOOK, send
from infinity_assets.definitions import platform_defs
from infinity_assets.errors import SourceError
from infinity_assets.quality.audit import CheckResult
from infinity_assets.stages.publish import CriticalCheckFailed
from infinity_assets.stages.raw import stage as raw_stage
from infinity_assets_tests.orchestration.small import small_platform

TOKEN = "T0KEN"


class Hook:
    """A server that notes what it is sent, and answers as it is told."""

    def __init__(self):
        self.got, self.status = [], 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((self.path, json.loads(body)))
                self.send_response(hook.status)
                self.send_header("Location", f"http://127.0.0.1:{hook.server.server_port}/elsewhere")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *args):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/{TOKEN}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hook(monkeypatch):
    made = Hook()
    monkeypatch.setenv(WEBHOOK, made.url)
    monkeypatch.setenv("INFINITY_ALLOW_HOSTS", "127.0.0.1")
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_failed_blocking_check_is_told_once_and_until_it_is_delivered(hook, tmp_path, monkeypatch):
    """Lost otherwise: a check that failed at night and that nobody sees, or an alarm every 30 seconds."""
    platform = small_platform(tmp_path)
    definitions = platform_defs(platform)
    sensor = definitions.resolve_sensor_def("failed_checks_alert")
    said = f"row 3 is platypus orchestra, {platform.settings.home}"
    bad = CheckResult("unique_file_id", "raw", False, True, said, 2, ())

    def fail(platform, source, run_id):
        raise CriticalCheckFailed("raw", source, [bad])

    with dg.DagsterInstance.ephemeral() as instance:

        def tick(cursor):
            context = dg.build_sensor_context(instance=instance, definitions=definitions, cursor=cursor)
            found = sensor.evaluate_tick(context)
            return found.cursor, found.skip_message

        def ingest(name):
            job = definitions.resolve_job_def("ingest")
            return job.execute_in_process(partition_key=name, instance=instance, raise_on_error=False)

        cursor, said = tick(None)
        assert hook.got == []
        ingest("broken")  # fails for want of files: no check
        with monkeypatch.context() as patch:
            patch.setattr(raw_stage, "materialize_raw", fail)
            run = ingest("alpha")
        hook.status = 302
        cursor, said = tick(cursor)
        assert "answered 302; redirects are not followed" in said and TOKEN not in said
        assert len(hook.got) == 1 and Cursor.read(cursor).tries == 1
        hook.status = 204
        cursor, said = tick(cursor)
        assert said == "1 failed blocking checks told of"
        path, message = hook.got[-1]
        assert path.endswith(TOKEN)
        (told,) = message["failures"]
        assert (told["asset"], told["partition"], told["failed_rows"]) == ("raw", "alpha", 2)
        assert told["run"] == run.run_id
        assert "raw of alpha" in message["text"] and "platypus" not in json.dumps(message)
        cursor, said = tick(cursor)
        assert len(hook.got) == 2 and said.startswith("0 failed")


def test_without_an_address_nothing_happens_and_the_past_is_not_told(tmp_path, monkeypatch):
    monkeypatch.delenv(WEBHOOK, raising=False)
    definitions = platform_defs(small_platform(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, definitions=definitions)
        found = definitions.resolve_sensor_def("failed_checks_alert").evaluate_tick(context)
    assert "is not set" in found.skip_message and not found.cursor


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/hook", "only https"),
        ("https://127.0.0.1/hook", "is not public"),
        ("https://169.254.169.254/latest/meta-data", "is not public"),
        ("https://[::ffff:10.0.0.1]/hook", "is not public"),
        ("file:///etc/passwd", "only https"),
        ("https://host:port/hook", "not an address"),
    ],
)
def test_no_address_leads_into_the_cluster_and_none_is_in_a_message(monkeypatch, url, why):
    """Lost otherwise: a webhook that reads a cloud's credentials, or a secret in a log."""
    monkeypatch.setenv(WEBHOOK, url)
    monkeypatch.delenv("INFINITY_ALLOW_HOSTS", raising=False)
    with pytest.raises(SourceError, match=why) as caught:
        send({})
    assert url not in str(caught.value) and "/hook" not in str(caught.value)


def test_a_server_that_does_not_answer_costs_seconds(hook, monkeypatch):
    """Lost otherwise: a sensor that hangs with the chat system."""
    monkeypatch.setattr("infinity_assets.automation.webhook.TIMEOUT_S", 0.2)
    hook.server.shutdown()  # it still listens, and answers nobody
    with pytest.raises(SourceError, match="TimeoutError"):
        send({"text": "x"})
