"""The sections of billing.yaml about running unattended: when months are run, when one is late, who is told of trouble."""

import re
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from billing_pipeline.config_types import EnvironmentName, Model


def _clock_time(value: object) -> str:
    # YAML 1.1 reads an unquoted 10:30 as the number 630, which is why the quotes are part of the remedy.
    if not isinstance(value, str) or not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value, re.ASCII):
        raise ValueError('is no time of day; write "HH:MM" in quotes, for example "06:00"')
    return value


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # an unknown name, a folder of the database, a path out of it
        raise ValueError(f"{name!r} is no time zone; write one such as Europe/Paris") from None
    return name


# 29 to 31 do not exist in every month, and a month without its day would never be run.
DayOfMonth = Annotated[int, Field(ge=1, le=28)]
ClockTime = Annotated[str, BeforeValidator(_clock_time)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
MailAddress = Annotated[str, Field(pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$")]


class Schedule(Model):
    """When the month before is run: operators have billed by then."""

    day: DayOfMonth = 6
    time: ClockTime = "06:00"
    timezone: TimeZone = "Europe/Paris"

    @property
    def cron(self) -> str:
        """As cron writes it, in `timezone`."""
        hour, minute = map(int, self.time.split(":"))
        return f"{minute} {hour} {self.day} * *"


class MailAlerts(Model):
    """A mail server and who reads its mail. User and password stand in environment variables."""

    host: Annotated[str, Field(pattern=r"^[^\s/@:]+$")]
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "ssl", "none"] = "starttls"
    user_env: EnvironmentName | None = None
    password_env: EnvironmentName | None = None
    sender: MailAddress
    recipients: Annotated[tuple[MailAddress, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _credentials_are_whole_and_travel_encrypted(self) -> Self:
        if (self.user_env is None) != (self.password_env is None):
            raise ValueError("user_env and password_env go together; give both or neither")
        if self.password_env is not None and self.security == "none":
            raise ValueError("a password needs security: starttls or ssl")
        return self


class WebhookAlerts(Model):
    """A URL that takes JSON by POST. It holds its own secret, so it stands in an environment variable."""

    url_env: EnvironmentName


class Alerts(Model):
    """Who is told when a month fails, is incomplete or late, or a key is about to expire."""

    email: MailAlerts | None = None
    webhook: WebhookAlerts | None = None

    @model_validator(mode="after")
    def _somebody_is_told(self) -> Self:
        if self.email is None and self.webhook is None:
            raise ValueError("nobody would be told; add 'email' or 'webhook', or remove 'alerts'")
        return self

    @property
    def environment_names(self) -> list[str]:
        """Every environment variable that holds one of its secrets."""
        mail = [self.email.user_env, self.email.password_env] if self.email else []
        return [name for name in (*mail, self.webhook.url_env if self.webhook else None) if name]
