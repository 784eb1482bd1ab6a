"""Pretrained models and parameters from the internet, under the names of `torch.hub`.

`_files` downloads files, whole or not at all; `_repositories` gets a repository and calls what its `hubconf.py` offers.
"""

from flambeau.hub._files import (
    DownloadError as DownloadError,
    download_url_to_file,
    get_dir,
    load_state_dict_from_url,
    set_dir,
)
from flambeau.hub._repositories import help, list, load

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]
