"""What the bench of the service says, and what it sends: the same from the same seed, judged by the stated bounds."""

import io
import zipfile

import pytest
from PIL import Image
from typer.testing import CliRunner

from commands.bench.change import _changes
from commands.bench.corpus import mutants, seeds, tricks
from commands.bench.load import Load
from commands.bench.memory import slope
from thorax.errors import ImageError, InputError
from thorax.imaging import read_image_bytes


def test_quantiles_and_rates_of_a_load() -> None:
    load = Load(seconds=2.0, latencies=[i / 100 for i in range(1, 101)])
    assert load.per_second == 50
    assert (load.quantile(0.5), load.quantile(0.99)) == (0.51, 1.0)


def test_memory_that_grows_is_seen() -> None:
    assert slope([(0.0, 300.0), (1.0, 302.0), (2.0, 304.0)]) == pytest.approx(2.0)
    assert slope([(0.0, 300.0)]) == 0.0


def test_a_client_that_sees_the_old_version_again_is_counted() -> None:
    assert _changes(["a", "a", "b", "b"]) == 1
    assert _changes(["a", "b", "a", "b"]) == 3


def test_the_corpus_is_the_same_from_the_same_seed_and_every_seed_can_be_read() -> None:
    files = seeds()
    assert files == seeds()
    for data in files:
        assert read_image_bytes(data).pixels.size > 0
    one, two = list(mutants(files, 50)), list(mutants(files, 50))
    assert one == two
    assert len(set(one)) == 50
    assert list(mutants(files, 50, seed=1)) != one


def test_every_trick_is_refused_and_the_bombs_claim_what_they_should() -> None:
    found = tricks()
    for name, data in found.items():
        with pytest.raises(ImageError):
            read_image_bytes(data)
            raise AssertionError(name)
    with zipfile.ZipFile(io.BytesIO(found["zip bomb"])) as archive:
        assert archive.infolist()[0].file_size == 400 << 20
    assert len(found["zip bomb"]) < 1 << 20
    Image.MAX_IMAGE_PIXELS, before = None, Image.MAX_IMAGE_PIXELS
    try:
        assert Image.open(io.BytesIO(found["png of 900 megapixels"])).size == (30_000, 30_000)
        assert Image.open(io.BytesIO(found["jpeg of 65,500 × 65,500 px"])).size == (65_500, 65_500)
    finally:
        Image.MAX_IMAGE_PIXELS = before


def test_an_unknown_part_is_refused_with_the_nearest() -> None:
    import typer

    from commands.bench.serve import bench

    app = typer.Typer()
    app.command()(bench)
    result = CliRunner().invoke(app, ["--part", "sped"])
    assert isinstance(result.exception, InputError)
    assert "speed" in result.exception.mend
