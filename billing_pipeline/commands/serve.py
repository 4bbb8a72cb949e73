"""`serve`: the results over HTTP, read-only. Checks who may read and where it listens before anything heavy is imported."""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from billing_pipeline.config import BillingConfig, load_config
from billing_pipeline.errors import ConfigurationError, UsageError


def serve(path: Path, *, host: str, port: int, insecure: bool, debug: bool) -> int:
    """Serve until interrupted. Without keys only with `insecure`, and then only on a loopback address."""
    config = load_config(path)
    keys = keys_in(config)
    if not keys and not insecure:
        raise ConfigurationError(
            f"environment variable {config.api.keys_env} is not set; put Bearer keys there, separated by commas, or add"
            " --insecure to serve without keys on this machine alone"
        )
    from billing_pipeline.api.access import Access
    from billing_pipeline.api.server import is_loopback, listen, serve_forever
    from billing_pipeline.storage.reading import refuse_unready
    from billing_pipeline.storage.servers import connect_billing

    loopback = is_loopback(host)
    if not keys and not loopback:
        raise UsageError(
            f"--insecure serves on a loopback address only, and --host {host} is none; set {config.api.keys_env} instead"
        )
    _log_to_stderr(debug)
    listener = listen(host, port)
    url, _ = connect_billing(config)
    refuse_unready(url)
    _announce(
        config, f"{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}", bool(keys), insecure, loopback
    )
    serve_forever(listener, url, tuple(operator.code for operator in config.operators), Access(keys), host)
    return 0


def keys_in(config: BillingConfig, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The Bearer keys; ConfigurationError for one that cannot be sent in a header. Their text shows nowhere."""
    keys = tuple(key.strip() for key in environ.get(config.api.keys_env, "").split(",") if key.strip())
    for number, key in enumerate(keys, start=1):
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigurationError(
                f"environment variable {config.api.keys_env}: key {number} of {len(keys)} holds a space or a character"
                " that is not ASCII; keys are separated by commas"
            )
    return keys


def _announce(config: BillingConfig, place: str, has_keys: bool, insecure: bool, loopback: bool) -> None:
    print(
        f"results of {config.path}, read-only, on http://{place} (see http://{place}/docs); Ctrl-C ends it", flush=True
    )
    if not has_keys:
        print("without keys: every program on this machine may read them", flush=True)
    elif insecure:
        print(f"--insecure has no effect: {config.api.keys_env} is set, so a key is asked for", flush=True)
    if not loopback:
        print("plain HTTP: keys and results pass in clear text; put a proxy with TLS in front", flush=True)


def _log_to_stderr(debug: bool) -> None:
    """One line per request and per trouble; with --debug also where an unexpected error came from."""
    logger = logging.getLogger("billing_pipeline")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
