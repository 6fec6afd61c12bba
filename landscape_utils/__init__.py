"""Notebooks' workhorse: why deep networks generalise, as plain functions over models and tensors."""

import lazy_loader

# Importing torch, xarray, SciPy and matplotlib takes seconds: each name is imported when it is first used. What there
# is, and where, is in the stub.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
