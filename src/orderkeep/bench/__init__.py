"""Benchmarks that print ratios: absolute figures say little about another machine."""
