"""The package's version, which is that of the binary in its wheels."""

__version__ = "0.1.0"
