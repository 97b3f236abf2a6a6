"""The transport over RabbitMQ: confirmed on the way in, in the inbox before the ack on the way out.

The broker may stop, block, hang, restart or lose a queue: envelopes then wait in the outbox, and go
on by themselves when it is back. Accepting orders never touches it. Nothing here deletes anything
at the broker.
"""
