"""API keys: create, authenticate, list and revoke them.

A key is `normlab_ID_SECRET`. Only a hash of the secret is stored. The secret has 256 random bits and cannot be guessed,
so one SHA-256 is enough, without a salt or a slow hash.
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

MAX_KEY_LENGTH = 200  # characters; a longer text is refused unread


def create(session: Session, scope: KeyScope, name: str) -> str:
    """Create a key and return it as its owner will send it. It is not stored and cannot be shown again."""
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
    """Return the id and the scope of a key, or None if it is unknown or revoked.

    The comparison takes the same time for an unknown id as for a wrong secret.
    """
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
    """Return all keys, oldest first."""
    return session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.created_at)).all()


def any_active(session: Session) -> bool:
    """Return whether there is a key that is not revoked."""
    return session.scalar(select(ApiKeyRow.id).where(ApiKeyRow.revoked_at.is_(None)).limit(1)) is not None


def revoke(session: Session, key_id: str) -> bool:
    """Revoke a key, from the next request on. Return whether there is a key of this id."""
    revoked = update(ApiKeyRow).where(ApiKeyRow.id == key_id).values(revoked_at=database_now())
    return session.scalar(revoked.returning(ApiKeyRow.id)) is not None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
