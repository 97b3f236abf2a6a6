"""Accepting a submission once and answering with a receipt, for HTTP and existing queues alike."""
