"""The weights in files, as mappings of names to arrays that stay there until they are counted.

- `opening`: which format a file has;
- `safetensors`: one file, and one of several by its index;
- `hdf5`: what Keras saves, as it is or inside of a `.keras`;
- `numpy_files`: `.npz` and `.npy`;
- `archive`: the members of a zip file;
- `stored_file`: a file, and pieces of it;
- `json_text`: JSON of files that nobody vouches for;
- `checkpoint`: what each of these gives.
"""

from gangplank.checkpoints.checkpoint import Checkpoint, CheckpointError
from gangplank.checkpoints.opening import open_checkpoint

__all__ = ["Checkpoint", "CheckpointError", "open_checkpoint"]
