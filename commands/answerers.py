"""Who answers for files at hand: a bundle in this process, or a service at an address. Both give the same answers."""

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from thorax.errors import ImageError, InputError, ThoraxError

if TYPE_CHECKING:
    from serving.client import Client
    from thorax.bundle import Bundle
    from thorax.imaging import Radiograph
    from thorax.prediction import Prediction
    from thorax.settings import Dicom

#: Requests that are on their way at once.
_SIDE_BY_SIDE = 4


class Answerer(Protocol):
    """Answers for files."""

    @property
    def version(self) -> str:
        """The model's version."""

    def answer(self, files: "Sequence[Path]") -> "list[Prediction | ThoraxError]":
        """Answer for each file, or say why there is no answer; raises what is not a file's own fault."""

    def explain(self, file: Path) -> "tuple[Prediction, dict[str, bytes]]":
        """Answer for a file, with a picture a finding (PNG); raises where it cannot be read."""


class Local:
    """Answers with a bundle."""

    def __init__(self, bundle: "Bundle", accept: "Dicom | None" = None, withhold: bool = False) -> None:
        self._bundle = bundle
        self._withhold = withhold
        self._accept = accept

    @property
    def version(self) -> str:
        """The model's version."""
        return self._bundle.version

    def answer(self, files: "Sequence[Path]") -> "list[Prediction | ThoraxError]":
        """Answer for each file, in one pass of the network."""
        from thorax.imaging import read_image

        read: list[Radiograph | ThoraxError] = []
        for file in files:
            try:
                read.append(read_image(file, accept=self._accept))
            except ImageError as error:
                read.append(error)
        found = self._bundle.predict([one for one in read if not isinstance(one, ThoraxError)])
        answers = iter([one.withhold() for one in found] if self._withhold else found)
        return [one if isinstance(one, ThoraxError) else next(answers) for one in read]

    def explain(self, file: Path) -> "tuple[Prediction, dict[str, bytes]]":
        """Answer for a file, with a picture a finding."""
        from thorax.bundle.drawing import draw
        from thorax.imaging import read_image

        radiograph = read_image(file, accept=self._accept)
        prediction = self._bundle.predict([radiograph])[0]
        if self._withhold and prediction.outside:
            return prediction.withhold(), {}
        return prediction, draw(self._bundle, radiograph, prediction)


class Remote:
    """Asks a service; names of files stay here."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._version = client.model().model.version

    @property
    def version(self) -> str:
        """The version that was served when this began."""
        return self._version

    def answer(self, files: "Sequence[Path]") -> "list[Prediction | ThoraxError]":
        """Answer for each file, several on their way at once."""
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            return list(pool.map(self._one, files))

    def _one(self, file: Path) -> "Prediction | ThoraxError":
        from thorax.imaging.reading import read_bytes

        try:
            return self._client.predict(read_bytes(file))
        except InputError as error:
            return error

    def explain(self, file: Path) -> "tuple[Prediction, dict[str, bytes]]":
        """Answer for a file, with a picture a finding."""
        from thorax.imaging.reading import read_bytes

        try:
            found = self._client.explain(read_bytes(file), side=512)
        except InputError as error:
            raise ImageError(f"{file}: {error.message}", error.mend) from error
        return found.prediction, {name: base64.b64decode(picture) for name, picture in found.overlays.items()}
