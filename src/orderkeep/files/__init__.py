"""Model files: taken in, kept under their own hash, handed out byte for byte.

A file whose id was answered is on disk, and its bytes are those whose hash was answered.
"""
