"""That people are told, once, without secrets, and that nobody who is away keeps a run from ending."""

import json
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from billing_pipeline.alerts.alert import Alert, Kind, body, failed, fit, subject
from billing_pipeline.alerts.channels import Mail, NotSent, Webhook
from billing_pipeline.alerts.outbox import Outbox
from billing_pipeline.config_operating import MailAlerts, WebhookAlerts
from billing_pipeline_tests.alerts.post_office import PostOffice, Receiver, self_signed

NOW = datetime(2024, 4, 6, 6, 0, tzinfo=UTC)
SECRETS = {"MAIL_USER": "billing@example.org", "MAIL_PASSWORD": "hunter2"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().open() as opened:
        yield opened


def mail_to(office: PostOffice, deadline_s: float = 20, **changes: Any) -> Mail:
    plain = {"host": "127.0.0.1", "port": office.port, "security": "none", "sender": "pipeline@example.org"}
    settings = MailAlerts.model_validate({**plain, "recipients": ("ann@example.org", "bob@example.org"), **changes})
    return Mail(settings, SECRETS, deadline_s)


def webhook_to(url: str) -> Webhook:
    return Webhook(WebhookAlerts(url_env="ALERT_URL"), {"ALERT_URL": url})


def test_a_mail_reaches_every_recipient_with_all_alerts_in_one() -> None:
    with PostOffice().open() as office:
        mail_to(office).send(
            [failed("AXIONE|2024-03", "AXIONE 2024-03: été\ncassé", NOW), failed("marts", "views", NOW)]
        )
    (mail,), (recipients,) = office.mails, office.recipients
    assert mail["Subject"] == "billing_pipeline: 2 failed"
    assert [one.split("<")[1].split(">")[0] for one in recipients] == ["ann@example.org", "bob@example.org"]
    assert mail.get_content().splitlines()[:2] == ["FAILED: AXIONE 2024-03: été cassé", "FAILED: views"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_a_password_travels_encrypted_and_only_to_a_trusted_server(
    security: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    credentials = {"user_env": "MAIL_USER", "password_env": "MAIL_PASSWORD", "security": security}
    with PostOffice(certificate=certificate, implicit_tls=security == "ssl").open() as office:
        with pytest.raises(NotSent, match="certificate that is not trusted"):
            mail_to(office, **credentials).send([failed("x", "x", NOW)])
        assert office.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))
        mail_to(office, **credentials).send([failed("x", "x", NOW)])
    assert office.logins == ["\0billing@example.org\0hunter2"]
    assert len(office.mails) == 1


def test_a_server_without_encryption_is_given_no_password() -> None:
    with PostOffice().open() as office:
        channel = mail_to(office, user_env="MAIL_USER", password_env="MAIL_PASSWORD", security="starttls")
        with pytest.raises(NotSent, match="does not offer"):
            channel.send([failed("x", "x", NOW)])
    assert (office.logins, office.mails) == ([], [])


@pytest.mark.parametrize(
    ("refuses", "said"),
    [("MAIL", "refuses the sender"), ("RCPT", "every recipient"), ("DATA", "answers 550")],
)
def test_a_refusal_is_told_in_one_line_without_what_the_server_said(refuses: str, said: str) -> None:
    with PostOffice().open() as office:
        office.refuses = refuses
        with pytest.raises(NotSent, match=said) as caught:
            mail_to(office).send([failed("x", "x", NOW)])
    assert "\n" not in str(caught.value)
    assert office.mails == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_refused_login_quotes_neither_the_password_nor_the_dialogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))
    with PostOffice(certificate=certificate).open() as office:
        office.refuses = "AUTH"
        channel = mail_to(office, user_env="MAIL_USER", password_env="MAIL_PASSWORD", security="starttls")
        with pytest.raises(NotSent, match="MAIL_USER and MAIL_PASSWORD") as caught:
            channel.send([failed("x", "x", NOW)])
    assert "hunter2" not in repr(caught.value) + str(caught.value.__cause__) + str(caught.value.__context__)


def test_a_server_that_never_answers_is_left_at_the_deadline() -> None:
    with PostOffice().open() as office:
        office.silent = True
        with pytest.raises(NotSent, match="TimeoutError"):
            mail_to(office, 0.3).send([failed("x", "x", NOW)])


def test_a_webhook_gets_words_for_people_and_fields_for_programs(receiver: Receiver) -> None:
    alert = Alert("k", Kind.INCOMPLETE, "SFR 2024-03: one invoice is missing", NOW, "SFR", "2024-03")
    webhook_to(receiver.url).send([alert])
    ((path, content),) = receiver.posts
    assert path == "/hooks/s3cr3t-token"
    assert json.loads(content) == {
        "text": "billing_pipeline: 1 incomplete\nINCOMPLETE: SFR 2024-03: one invoice is missing\n",
        "alerts": [
            {
                "kind": "incomplete",
                "operator": "SFR",
                "period": "2024-03",
                "text": "SFR 2024-03: one invoice is missing",
                "raisedAt": "2024-04-06T06:00:00+00:00",
            }
        ],
    }


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_does_not_take_it_is_named_without_its_url(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(NotSent, match=f"ALERT_URL answers HTTP {status}") as caught:
        webhook_to(receiver.url).send([failed("x", "x", NOW)])
    assert "s3cr3t" not in str(caught.value)
    assert len(receiver.posts) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/s3cr3t", "s3cr3t", "file:///etc/s3cr3t", "http://127.0.0.1:s3cr3t/"]
)
def test_a_url_that_leads_nowhere_is_not_repeated(url: str) -> None:
    with pytest.raises(NotSent, match="ALERT_URL") as caught:
        webhook_to(url).send([failed("x", "x", NOW)])
    assert "s3cr3t" not in f"{caught.value}{caught.value.__cause__}{caught.value.__context__}"


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(NotSent, match="environment variable ALERT_URL is not set"):
        Webhook(WebhookAlerts(url_env="ALERT_URL"), {"ALERT_URL": " "}).send([failed("x", "x", NOW)])


def test_an_event_is_told_once_until_it_is_over(tmp_path: Path, receiver: Receiver) -> None:
    outbox, channels = Outbox(tmp_path / "alerts"), [webhook_to(receiver.url)]
    event = failed("SFR|2024-03", "SFR 2024-03: down", NOW)
    for wording in ("first try", "second try"):
        outbox.raise_all([failed("SFR|2024-03", wording, NOW + timedelta(hours=1))])
        assert outbox.deliver(channels) == []
    assert len(receiver.posts) == 1
    outbox.settle(lambda alert: alert.key == event.key)
    outbox.raise_all([event])
    assert Outbox(tmp_path / "alerts").deliver(channels) == []
    assert len(receiver.posts) == 2


def test_what_a_channel_did_not_take_waits_for_the_next_try_and_the_other_channel_does_not_get_it_twice(
    tmp_path: Path, receiver: Receiver
) -> None:
    outbox = Outbox(tmp_path / "alerts")
    with PostOffice().open() as office:
        both = [mail_to(office), webhook_to(receiver.url)]
        office.refuses = "RCPT"
        outbox.raise_all([failed("SFR|2024-03", "SFR 2024-03: down", NOW)])
        (fault,) = outbox.deliver(both)
        assert "kept for the next try (alerts: 1)" in fault
        office.refuses = None
        outbox.raise_all([failed("AXIONE|2024-03", "AXIONE 2024-03: down", NOW + timedelta(hours=1))])
        assert outbox.deliver(both) == []
        assert outbox.deliver(both) == []
    assert [mail["Subject"] for mail in office.mails] == ["billing_pipeline: 2 failed"]
    assert [json.loads(content)["text"].splitlines()[1:] for _, content in receiver.posts] == [
        ["FAILED: SFR 2024-03: down"],
        ["FAILED: AXIONE 2024-03: down"],
    ]


def test_two_processes_at_once_do_not_tell_twice(tmp_path: Path, receiver: Receiver) -> None:
    def command() -> None:
        outbox = Outbox(tmp_path / "alerts")
        outbox.raise_all([failed("SFR|2024-03", "SFR 2024-03: down", NOW)])
        outbox.deliver([webhook_to(receiver.url)])

    threads = [threading.Thread(target=command) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receiver.posts) == 1


def test_a_damaged_file_silences_no_other_alert(tmp_path: Path, receiver: Receiver) -> None:
    outbox = Outbox(tmp_path / "alerts")
    outbox.raise_all([failed("SFR|2024-03", "SFR 2024-03: down", NOW)])
    (tmp_path / "alerts" / "broken.json").write_text("{")
    assert outbox.deliver([webhook_to(receiver.url)]) == []
    assert len(receiver.posts) == 1


def test_a_message_stays_readable_however_many_and_long_the_alerts() -> None:
    alerts = [failed(f"O{number}|2024-03", "x" * 5000, NOW) for number in range(300)]
    assert subject(alerts) == "billing_pipeline: 300 failed"
    assert len(body(alerts)) < 40_000
    assert "250 more" in body(alerts)
    assert fit("a\r\nBcc: all@example.org\x1b[2J") == "a Bcc: all@example.org�[2J"
