"""The settings of the service, NORMLAB_*, read once at its start."""

import ipaddress

from pydantic import Field, field_validator

from normlab.process.machine import default_workers
from normlab.process.settings import DatabaseSettings, check_data_dir


class ServiceSettings(DatabaseSettings):
    """Where the service listens, who may use it, whether it runs a worker, and how large an experiment may be.

    On loopback no API key is needed. On any other address every request needs one, and so it does with require_key, for
    a service behind a proxy. allow_remote_without_key turns this off where something else controls the access.

    allowed_hosts: names in a request's Host that are accepted beside loopback's and `host`, as a JSON list.
    allowed_origins: other pages that may send requests, such as https://lab.example, as a JSON list.
    requests_per_second: rate of each API key's token bucket.
    local_workers: how many workers the service runs with local_worker. Default: one for each GPU, or else one for each
    core, as many as have 2 GiB of memory each, and at most 8.
    max_checkpoint_bytes, max_activation_bytes: limits for one experiment, estimated before it is queued.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)  # 0: any free port
    allow_remote_without_key: bool = False
    require_key: bool = False
    requests_per_second: float = Field(default=100.0, ge=0.01, le=1_000_000)
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    local_worker: bool = True
    local_workers: int = Field(default_factory=default_workers, ge=1, le=256)
    # PostgreSQL sends two digits for each byte, and at most 1 GB in one reply.
    max_checkpoint_bytes: int = Field(default=256_000_000, ge=1, le=500_000_000)
    max_activation_bytes: int = Field(default=64_000_000_000, ge=1, le=10**15)

    _check_data_dir = field_validator("data_dir")(check_data_dir)

    def hosts(self) -> frozenset[str]:
        """Return the accepted names in a request's Host, in lower case, without ports."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        return frozenset(name.lower() for name in ("localhost", "127.0.0.1", "[::1]", own, *self.allowed_hosts))

    def key_needed(self) -> bool:
        """Return whether every request needs an API key."""
        return self.require_key or not (_is_loopback(self.host) or self.allow_remote_without_key)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
