"""Logs, set up once per process: JSON lines on stderr, facts as fields, nothing personal."""
