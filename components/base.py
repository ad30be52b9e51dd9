"""What every component shares: its image, and that nothing is installed when it runs."""

from functools import partial

from kfp import dsl

from thorax import __version__

#: The image that holds this project and all it needs; a cluster names its own under `pipeline.image`.
IMAGE = f"thorax-python:{__version__}"

#: A component whose function body is all that Kubeflow sees; the project itself is in the image.
component = partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
