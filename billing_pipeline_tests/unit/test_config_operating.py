"""What billing.yaml may say about running unattended, and how a mistake in it is told before it costs a month."""

from pathlib import Path

import pytest

from billing_pipeline.commands.check_config import check_config
from billing_pipeline.config import environment_names, load_config
from billing_pipeline.errors import ConfigurationError
from billing_pipeline_tests.unit.test_config import VALID, write

MAIL = "alerts: {email: {host: mail.example.org, sender: a@example.org, recipients: [b@example.org]%s}}\n"


def test_without_a_word_months_run_on_the_6th_and_are_late_on_the_10th(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, VALID))
    assert (config.schedule.cron, config.schedule.timezone) == ("0 6 6 * *", "Europe/Paris")
    assert (config.freshness_day, config.alerts) == (10, None)


def test_another_day_time_and_zone_are_taken(tmp_path: Path) -> None:
    said = 'schedule: {day: 12, time: "23:05", timezone: Indian/Reunion}\nfreshness_day: 28\n'
    config = load_config(write(tmp_path, VALID + said))
    assert (config.schedule.cron, config.schedule.timezone) == ("5 23 12 * *", "Indian/Reunion")
    assert config.freshness_day == 28


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schedule: {day: 31}\n", "'schedule.day': Input should be less than or equal to 28"),
        ("schedule: {day: 0}\n", "'schedule.day'"),
        ('schedule: {time: "25:00"}\n', "'schedule.time': is no time of day"),
        ('schedule: {time: "6:00"}\n', "write \"HH:MM\" in quotes"),
        ("schedule: {time: 10:30}\n", "'schedule.time': is no time of day; write \"HH:MM\" in quotes"),
        ("schedule: {timezone: Europe/Pariss}\n", "'Europe/Pariss' is no time zone"),
        ("schedule: {timezone: ../etc/passwd}\n", "is no time zone"),
        ("schedule: {dya: 6}\n", "unknown key 'schedule.dya'; did you mean 'day'?"),
        ("freshness_day: 31\n", "'freshness_day'"),
        ("alerts: {}\n", "'alerts': nobody would be told"),
        (MAIL.replace("b@example.org", "b") % "", "'alerts.email.recipients[0]'"),
        (MAIL.replace("[b@example.org]", "[]") % "", "'alerts.email.recipients'"),
        (MAIL % ", user_env: MAIL_USER", "user_env and password_env go together"),
        (MAIL % ", user_env: U, password_env: P, security: none", "a password needs security"),
        (MAIL % ", password: hunter2", "unknown key 'alerts.email.password'; did you mean 'password_env'?"),
        ("alerts: {webhook: {url: https://hooks.example.org/hunter2}}\n", "unknown key 'alerts.webhook.url'"),
        ("alerts: {webhok: {url_env: URL}}\n", "unknown key 'alerts.webhok'; did you mean 'webhook'?"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_key_and_repeats_no_secret(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_config(write(tmp_path, VALID + text))
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_secrets_of_alerts_are_named_and_check_config_asks_for_those_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = MAIL.replace("}}\n", "}, webhook: {url_env: HOOK_URL}}\n") % ", user_env: MAIL_USER, password_env: MAIL_PASS"
    path = write(tmp_path, VALID + said + 'schedule: {day: 12, time: "05:30"}\nfreshness_day: 20\n')
    alerts = [name for owner, name in environment_names(load_config(path)) if owner == "alerts"]
    assert alerts == ["MAIL_USER", "MAIL_PASS", "HOOK_URL"]
    monkeypatch.setenv("MAIL_USER", "ann")
    monkeypatch.setenv("HOOK_URL", "https://hooks.example.org/hunter2")
    monkeypatch.delenv("MAIL_PASS", raising=False)
    assert check_config(path) == 0
    printed = capsys.readouterr().out
    assert "months run on day 12 at 05:30 Europe/Paris, and are late from day 20 on" in printed
    assert (
        "alerts by e-mail to b@example.org through mail.example.org:587 (starttls), by webhook (URL in HOOK_URL)"
        in printed
    )
    assert "missing: environment variable MAIL_PASS is not set; alerts needs it" in printed
    assert "hunter2" not in printed
