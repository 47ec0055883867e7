import pathlib
import shutil
import tempfile

import pytest
import stand as stands


@pytest.fixture
def make_stand():
    """Stands made by the test; all are taken down, and their logs shown if it failed."""
    made, directories = [], []

    def make(**options):
        directories.append(pathlib.Path(tempfile.mkdtemp(prefix="surgetank-interop-")))
        made.append(stands.Stand(directories[-1], **options))
        return made[-1]

    yield make
    for stand in made:
        print(stand.log.read_text())
        stand.close()
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return stands.Authority(tmp_path_factory.mktemp("pki"))
