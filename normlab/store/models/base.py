"""The tables' base, and what several tables need."""

from enum import StrEnum

from sqlalchemy import (
    CheckConstraint,
    Enum,
    MetaData,
)
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """The tables' base. It names every constraint, because a migration can only change a named one."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def enum_column(kind: type[StrEnum]) -> Enum:
    """A column that holds the values of an enumeration as text."""
    return Enum(kind, native_enum=False, length=10, values_callable=lambda members: [each.value for each in members])


def one_of(column: str, kind: type[StrEnum]) -> CheckConstraint:
    """A constraint that allows the values of an enumeration alone."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(each.value) for each in kind)})", name=column)
