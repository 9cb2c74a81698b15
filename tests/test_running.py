"""What stands in for parts of the package in tests takes the same options, so that none is swallowed."""

import inspect

import pytest
from support.running import in_threads, save, upsample

from upsample_cli.batch.executors import executor_for


def test_the_stand_in_takes_the_options_of_what_it_stands_for():
    assert inspect.signature(in_threads).parameters.keys() == inspect.signature(executor_for).parameters.keys()
    assert all(each.kind is not each.VAR_KEYWORD for each in inspect.signature(in_threads).parameters.values())


@pytest.mark.usefixtures("in_tmp_path")
def test_a_timeout_is_kept_in_this_process_too():
    save("a.png", (700, 900))
    ended = upsample("a.png", "-f", "16", "--timeout", "0.01")
    assert ended.status == 1
    assert "0.01" in ended.err
    assert upsample("a.png").status == 0  # the control
