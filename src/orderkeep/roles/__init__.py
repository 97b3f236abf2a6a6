"""Processes: builds the objects, runs them, stops them in order. The only place with wiring."""
