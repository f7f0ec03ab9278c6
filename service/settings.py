"""The service's settings, NORMLAB_*, read once."""

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from service.experiments.settings import DatabaseSettings


class ServiceSettings(DatabaseSettings):
    """Where the service listens and for whom, whether it keeps a worker of its own, how large an experiment may be.

    allowed_hosts: names beside loopback's and `host` that requests may be for; allowed_origins: other pages, such as
    https://lab.example, that may make them. Both as JSON lists.
    most_parameters, most_activation_bytes: of one experiment, as estimated before it is queued.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)  # 0: any that is free
    allow_remote_without_key: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    local_worker: bool = True
    data_dir: Path = Path("data")
    most_parameters: int = Field(default=1_000_000_000, ge=1)
    most_activation_bytes: int = Field(default=64_000_000_000, ge=1)

    def hosts(self) -> frozenset[str]:
        """The names that requests may be for, in small letters, without ports."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        return frozenset(name.lower() for name in ("localhost", "127.0.0.1", "[::1]", own, *self.allowed_hosts))

    @model_validator(mode="after")
    def _stay_on_loopback(self) -> Self:
        if not _is_loopback(self.host) and not self.allow_remote_without_key:
            raise ValueError(
                f"normlab has no keys to guard {self.host} with: anyone who reaches it could run experiments. Serve on "
                "127.0.0.1, or set NORMLAB_ALLOW_REMOTE_WITHOUT_KEY=true where something else guards the door"
            )
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
