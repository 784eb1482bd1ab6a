"""`config.load.mmap = True` and the like: what `torch.load` and `torch.save` do where a call does not say.

>>> from flambeau.utils.serialization import config
>>> config.load.mmap, config.save.compute_crc32
(False, True)
"""

from flambeau.serialization.options import load_options as load, save_options as save

__all__ = ["load", "save"]
