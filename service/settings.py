"""The service's settings, NORMLAB_*, read once."""

import ipaddress
from pathlib import Path

from pydantic import Field

from normlab.process.settings import DatabaseSettings


class ServiceSettings(DatabaseSettings):
    """Where the service listens and for whom, whether it keeps a worker of its own, how large an experiment may be.

    Whoever calls needs a key if it listens on another address than loopback, or require_key says so, as behind a proxy;
    unless allow_remote_without_key says that something else guards the door.

    allowed_hosts: names beside loopback's and `host` that requests may be for; allowed_origins: other pages, such as
    https://lab.example, that may make them. Both as JSON lists.
    max_checkpoint_bytes, max_activation_bytes: of one experiment, as estimated before it is queued.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)  # 0: any that is free
    allow_remote_without_key: bool = False
    require_key: bool = False
    requests_per_second: float = Field(default=100.0, ge=0.01, le=1_000_000)  # of one key
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    local_worker: bool = True
    data_dir: Path = Path("data")
    # PostgreSQL sends two digits a byte, in answers of 1 GB at most.
    max_checkpoint_bytes: int = Field(default=256_000_000, ge=1, le=500_000_000)
    max_activation_bytes: int = Field(default=64_000_000_000, ge=1, le=10**15)

    def hosts(self) -> frozenset[str]:
        """The names that requests may be for, in small letters, without ports."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        return frozenset(name.lower() for name in ("localhost", "127.0.0.1", "[::1]", own, *self.allowed_hosts))

    def key_needed(self) -> bool:
        """Whether nobody is let in without a key."""
        return self.require_key or not (_is_loopback(self.host) or self.allow_remote_without_key)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
