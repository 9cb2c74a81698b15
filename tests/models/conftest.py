import pytest

pytest.importorskip("spandrel", reason="spandrel is not installed")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """Threads of torch wait for each other where several tests share the cores."""
    import torch

    monkeypatch.setattr("upsample_cli.engine.cores._limit", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
