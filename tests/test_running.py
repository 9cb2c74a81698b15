"""The substitutes for parts of the package accept the same options, so that no option is ignored."""

import inspect

import pytest
from support import running
from support.running import in_threads

from upsample_cli.batch.executors import executor_for
from upsample_cli.batch.threads import ThreadExecutor
from upsample_cli.enlarge.options import Options


def test_the_substitute_takes_the_options_of_the_real_function():
    assert inspect.signature(in_threads).parameters.keys() == inspect.signature(executor_for).parameters.keys()
    assert all(
        parameter.kind is not parameter.VAR_KEYWORD for parameter in inspect.signature(in_threads).parameters.values()
    )


@pytest.mark.parametrize("option", [{"timeout_s": 3.0}, {"cluster": "tcp://h:1"}])
def test_options_that_need_other_processes_use_the_real_function(option, monkeypatch):
    monkeypatch.setattr(running, "executor_for", lambda _jobs, _options, **given: given)
    given = in_threads([], Options(), token="t", watcher=None, **option)
    assert given.items() >= option.items()
    executor = in_threads([], Options(), token="t", watcher=None)  # the control
    assert isinstance(executor, ThreadExecutor)
    executor.close()
