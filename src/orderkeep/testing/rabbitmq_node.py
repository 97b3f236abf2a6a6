"""The tests' own RabbitMQ node: the one that benchmarks start as well."""

from orderkeep.bench.rabbitmq import RabbitNode

__all__ = ["RabbitNode"]
