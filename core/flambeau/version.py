"""The version of Flambeau, stated once.

The build reads it from here and so does the running library; asking the installed package's metadata instead would
cost more time at import than everything else in the base package.
"""

__version__ = "0.1.0"
