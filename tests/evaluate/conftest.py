"""What an evaluation is given, for the tests of this folder."""

import pytest

from builders.scored import Case, written_case


@pytest.fixture
def case(tmp_path) -> Case:
    return written_case(tmp_path)
