"""Reads a RabbitMQ that is already there and says where it loses, doubles or holds up orders.

Two samples of what the broker tells about itself come in; findings and a verdict come out. Every
rule is one small function without a clock and without a connection. Nothing here can change the
broker. What could not be looked at is told, so that silence is not taken for health.
"""
