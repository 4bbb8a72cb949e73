"""What the sandbox asks of its callers: the demo's keys, under the names of the variables that hold them.

The sandbox serves made-up data on loopback: these keys protect nothing and are no secrets.
"""

from collections.abc import Mapping
from types import MappingProxyType

NETWO_KEY = "NETWO_API_KEY"
ORANGE_ID = "ORANGE_CLIENT_ID"
ORANGE_SECRET = "ORANGE_CLIENT_SECRET"
ORANGE_KEY = "ORANGE_API_KEY"
INVOICING_KEY = "CUSTOMER_INVOICING_API_KEY"

DEMO_SECRETS: Mapping[str, str] = MappingProxyType(
    {
        NETWO_KEY: "sandbox-key",
        ORANGE_ID: "sandbox-client",
        ORANGE_SECRET: "sandbox-client-secret",
        ORANGE_KEY: "sandbox-orange-key",
        INVOICING_KEY: "sandbox-invoicing-key",
    }
)
