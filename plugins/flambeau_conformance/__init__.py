"""The conformance suite: what works on a device, and what does not.

Any backend's author installs and runs it::

    flambeau conformance --device NAME
    pytest --pyargs flambeau_conformance --device NAME

The cases are derived from the table of operators: samples, domains and dtypes come from the records. The oracle is
PyTorch where it is installed, else NumPy in float64, never the backend under test.
"""
