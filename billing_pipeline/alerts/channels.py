"""The two ways an alert leaves: e-mail by SMTP, and JSON by POST to a webhook. What is sent stands in alert.py.

A webhook's URL is a secret, so no error repeats it, and sources/http.py, whose errors name URLs, is not used for it.
"""

import http.client
import json
import os
import smtplib
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Protocol
from urllib.parse import urlsplit

from billing_pipeline.alerts.alert import Alert, body, fit, subject
from billing_pipeline.config import BillingConfig
from billing_pipeline.config_operating import MailAlerts, WebhookAlerts

# A sensor's tick ends after 60 s, and both channels may have to wait in one.
DEADLINE_S = 20.0
_WAIT_S = 10.0


class NotSent(Exception):
    """The channel did not take the message; `str` says why in one line without a secret. It stays in the outbox."""


class Channel(Protocol):
    name: str

    def send(self, alerts: Sequence[Alert]) -> None:
        """One message with all of these, or NotSent."""
        ...


def channels(config: BillingConfig, environ: Mapping[str, str] = os.environ) -> list[Channel]:
    """Those that billing.yaml names; empty where it names none."""
    alerts = config.alerts
    found: list[Channel] = []
    if alerts is not None and alerts.email is not None:
        found.append(Mail(alerts.email, environ))
    if alerts is not None and alerts.webhook is not None:
        found.append(Webhook(alerts.webhook, environ))
    return found


class Mail:
    """One e-mail to all recipients."""

    name = "email"

    def __init__(self, settings: MailAlerts, environ: Mapping[str, str], deadline_s: float = DEADLINE_S) -> None:
        self._settings = settings
        self._environ = environ
        self._deadline_s = deadline_s

    def send(self, alerts: Sequence[Alert]) -> None:
        settings = self._settings
        user, password = (_secret(name, self._environ) for name in (settings.user_env, settings.password_env))
        message = EmailMessage()
        message["From"], message["To"] = settings.sender, ", ".join(settings.recipients)
        message["Subject"], message["Date"] = subject(alerts), formatdate(localtime=False)
        message["Message-ID"] = make_msgid(domain=settings.sender.partition("@")[2])
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(body(alerts))
        _within(self._deadline_s, lambda: self._hand_over(message, user, password), self._explain)

    def _hand_over(self, message: EmailMessage, user: str | None, password: str | None) -> None:
        settings, context = self._settings, ssl.create_default_context()
        with (
            smtplib.SMTP_SSL(settings.host, settings.port, timeout=_WAIT_S, context=context)
            if settings.security == "ssl"
            else smtplib.SMTP(settings.host, settings.port, timeout=_WAIT_S)
        ) as server:
            if settings.security == "starttls":
                server.starttls(context=context)
            if user is not None and password is not None:
                server.login(user, password)
            # Refused for one recipient, it has still reached another.
            server.send_message(message)

    def _explain(self, fault: Exception) -> str:
        settings = self._settings
        where = f"alerts.email: {settings.host}:{settings.port}"
        if isinstance(fault, smtplib.SMTPAuthenticationError):
            return f"{where} refuses the user and password in {settings.user_env} and {settings.password_env}"
        if isinstance(fault, smtplib.SMTPNotSupportedError):
            return (
                f"{where} does not offer what is asked of it; correct 'security' or leave user_env and password_env out"
            )
        if isinstance(fault, smtplib.SMTPRecipientsRefused | smtplib.SMTPSenderRefused):
            return f"{where} refuses the sender or every recipient; correct them"
        if isinstance(fault, smtplib.SMTPResponseException):
            return f"{where} answers {fault.smtp_code}; see the mail server's log"
        if isinstance(fault, ssl.SSLCertVerificationError):
            return (
                f"{where} shows a certificate that is not trusted ({fault.verify_message}); SSL_CERT_FILE names others"
            )
        return f"{where} cannot be used ({type(fault).__name__}); check host, port and 'security'"


class Webhook:
    """One POST. `text` is what chat programs show; `alerts` is for programs."""

    name = "webhook"

    def __init__(self, settings: WebhookAlerts, environ: Mapping[str, str], deadline_s: float = DEADLINE_S) -> None:
        self._name = settings.url_env
        self._environ = environ
        self._deadline_s = deadline_s

    def send(self, alerts: Sequence[Alert]) -> None:
        url = _secret(self._name, self._environ)
        assert url is not None  # url_env is not optional
        content = {
            "text": f"{subject(alerts)}\n{body(alerts)}",
            "alerts": [
                {
                    "kind": alert.kind.value,
                    "operator": alert.operator_code,
                    "period": alert.period,
                    "text": fit(alert.text),
                    "raisedAt": alert.raised_at.isoformat(),
                }
                for alert in alerts
            ],
        }
        posted = json.dumps(content, ensure_ascii=False).encode()
        _within(self._deadline_s, lambda: self._post(url, posted), self._explain)

    def _post(self, url: str, content: bytes) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise NotSent(f"alerts.webhook: {self._name} holds no URL; it starts with https://")
        secure = parts.scheme == "https"
        connection = (
            http.client.HTTPSConnection(parts.hostname, parts.port, timeout=_WAIT_S)
            if secure
            else http.client.HTTPConnection(parts.hostname, parts.port, timeout=_WAIT_S)
        )
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(
                "POST", target, content, {"Content-Type": "application/json", "User-Agent": "billing-pipeline"}
            )
            status = connection.getresponse().status
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise NotSent(f"alerts.webhook: the URL in {self._name} answers HTTP {status}; put a valid one there")

    def _explain(self, fault: Exception) -> str:
        return f"alerts.webhook: the URL in {self._name} cannot be reached ({type(fault).__name__}); check it"


def _secret(name: str | None, environ: Mapping[str, str]) -> str | None:
    """The variable's value; None where no variable is named. NotSent names one that is not set."""
    if name is None:
        return None
    value = environ.get(name, "").strip()
    if not value:
        raise NotSent(f"alerts: environment variable {name} is not set")
    return value


def _within(deadline_s: float, work: Callable[[], None], explain: Callable[[Exception], str]) -> None:
    """Run `work` aside and wait no longer than that: the sockets' own timeouts start anew with every byte."""
    faults: list[NotSent] = []

    def attempt() -> None:
        try:
            work()
        except NotSent as fault:
            faults.append(fault)
        except Exception as fault:
            # A library's own words may quote the URL or the dialogue with the server, a password included.
            faults.append(NotSent(explain(fault)))

    thread = threading.Thread(target=attempt, name="billing-alert", daemon=True)
    thread.start()
    thread.join(deadline_s)
    if thread.is_alive():
        raise NotSent(explain(TimeoutError()))
    if faults:
        raise faults[0] from None
