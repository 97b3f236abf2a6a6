"""Column types that do not lie: SQLite drops offsets and stores NUMERIC as a float by itself."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Numeric, String
from sqlalchemy.types import TypeDecorator, TypeEngine

from orderkeep.adapters.sql.instants import from_micros, to_micros


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant in UTC: microseconds on SQLite, ``timestamptz`` on PostgreSQL.

    Both drivers are handed microseconds; PostgreSQL's makes instants of them on the wire.
    """

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive instant cannot be stored")
        return to_micros(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal that comes back as it went in: text on SQLite, ``numeric`` on PostgreSQL.

    Both drivers are handed texts.
    """

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String() if dialect.name == "sqlite" else Numeric())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return None if value is None else str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)
