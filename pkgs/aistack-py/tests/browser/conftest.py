from __future__ import annotations

from collections.abc import Iterator

import pytest
from chrome import Chrome, chrome
from stage import Stage, whole_stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with whole_stage(tmp_path_factory.mktemp("stage")) as one:
        yield one


@pytest.fixture(scope="session")
def one_chrome(stage: Stage) -> Iterator[Chrome]:
    with chrome(stage) as own:
        yield own


@pytest.fixture
def browser(one_chrome: Chrome) -> Iterator[Chrome]:
    """Signed in, on a large light screen; nothing may have gone wrong in the page at the end."""
    one_chrome.scripts(on=True)
    one_chrome.screen()
    one_chrome.sign_in()
    one_chrome.complaints()
    yield one_chrome
    assert one_chrome.complaints() == []
