"""The environment is shared by all servers of a machine."""

import pytest

from akela.settings import ALL_KEYS, CommonSettings
from bootstrap.settings import BootstrapSettings
from control.settings import ControlSettings
from operations.settings import OperationsSettings


@pytest.mark.parametrize("settings", [BootstrapSettings, ControlSettings, OperationsSettings])
def test_a_setting_of_one_server_stops_no_other(settings: type[CommonSettings]) -> None:
    assert settings.model_fields.keys() <= ALL_KEYS
