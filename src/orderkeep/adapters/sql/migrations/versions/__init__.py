"""Numbered changes of the schema; forward only, and old code runs on the new one for a release."""
