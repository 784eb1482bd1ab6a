"""Benchmarks for asv, written once against PyTorch's API and run on Flambeau and, where it is installed, PyTorch.

The library is a parameter of every benchmark, so that a ratio is read from two figures taken in one run on one
machine: a figure in seconds says little about anything but the machine.
"""
