"""Asking foreign systems over HTTP: one whole answer or none, and what that proves."""
