"""API keys: made, shown once, known again by their hash, revoked.

A key is `normlab_ID_SECRET`. The secret has 256 random bits, so one SHA-256 is enough: there is no guessing it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Literal, cast

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from normlab.store.database import database_now
from normlab.store.models import ApiKeyRow

KeyScope = Literal["read", "write"]

MAX_KEY_LENGTH = 200  # characters of what is looked at as a key at all


def create(session: Session, scope: KeyScope, name: str) -> str:
    """A new key, as its owner will send it; it is nowhere else."""
    key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    session.add(
        ApiKeyRow(
            id=key_id,
            name=name,
            scope=scope,
            secret_sha256=_hash(secret),
            created_at=session.scalar(select(database_now())),
        )
    )
    return f"normlab_{key_id}_{secret}"


def authenticate(session: Session, key: str) -> tuple[str, KeyScope] | None:
    """The id and the scope of a key that is good; the comparison takes as long whatever is wrong with it."""
    parts = key.split("_", 2)
    if (
        len(key) > MAX_KEY_LENGTH
        or len(parts) != 3
        or parts[0] != "normlab"
        or not key.isascii()
        or not key.isprintable()
    ):
        return None
    row = session.get(ApiKeyRow, parts[1])
    matches = hmac.compare_digest(_hash(parts[2]), row.secret_sha256 if row is not None else _hash(""))
    if row is None or not matches or row.revoked_at is not None:
        return None
    return row.id, cast(KeyScope, row.scope)


def all_keys(session: Session) -> Sequence[ApiKeyRow]:
    """All keys, oldest first."""
    return session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.created_at)).all()


def any_active(session: Session) -> bool:
    """Whether anybody has a key."""
    return session.scalar(select(ApiKeyRow.id).where(ApiKeyRow.revoked_at.is_(None)).limit(1)) is not None


def revoke(session: Session, key_id: str) -> bool:
    """From the next request on the key is good for nothing; returns whether there was such a key."""
    revoked = update(ApiKeyRow).where(ApiKeyRow.id == key_id).values(revoked_at=database_now())
    return session.scalar(revoked.returning(ApiKeyRow.id)) is not None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
