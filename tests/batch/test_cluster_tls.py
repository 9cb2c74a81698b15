"""A cluster whose connections are encrypted: certificates that match, and certificates that do not."""

import contextlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support import crashing_on_cluster
from support.dask_cluster import CLUSTER_MARKS, LONG_S, client_of, dask_process, dask_scheduler, job
from support.running import Watched

from upsample_cli.atomic.temporaries import new_token
from upsample_cli.batch.cluster import scheduler
from upsample_cli.batch.cluster.executor import ClusterExecutor
from upsample_cli.batch.cluster.scheduler import check_workers, connected
from upsample_cli.batch.cluster.worker import RunSpec
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import UsageError

dask = pytest.importorskip("dask")

pytestmark = CLUSTER_MARKS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder with a certificate authority's certificate, and keys and certificates of ours and of a stranger."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2"]
    for command in (
        ["req", "-x509", *key, "-days", "2", "-subj", "/CN=ca", "-keyout", "ca-key.pem", "-out", "ca.pem"],
        ["req", *key, "-subj", "/CN=ours", "-keyout", "ours-key.pem", "-out", "ours.csr"],
        ["x509", "-req", "-in", "ours.csr", *signed, "-out", "ours.pem"],
        ["req", "-x509", *key, "-days", "2", "-subj", "/CN=x", "-keyout", "stranger-key.pem", "-out", "stranger.pem"],
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    return folder


def tls_settings(folder, role, name="ours"):
    """As Dask's configuration has them."""
    return {
        "distributed.comm.tls.ca-file": str(folder / "ca.pem"),
        f"distributed.comm.tls.{role}.cert": str(folder / f"{name}.pem"),
        f"distributed.comm.tls.{role}.key": str(folder / f"{name}-key.pem"),
    }


def as_environment(settings):
    return {f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": value for name, value in settings.items()}


def test_tls_clusters_enlarge_images_and_refuse_strangers(certificates, tmp_path, monkeypatch):
    settings = {role: as_environment(tls_settings(certificates, role)) for role in ("scheduler", "worker")}
    with contextlib.ExitStack() as stack:
        address, _ = stack.enter_context(dask_scheduler(tmp_path, "--protocol", "tls", **settings["scheduler"]))
        arguments = ("--nthreads", 1, "--memory-limit", 0, "--local-directory", tmp_path, "--no-nanny")
        stack.enter_context(dask_process("worker", address, *arguments, **settings["scheduler"] | settings["worker"]))
        assert address.startswith("tls://127.0.0.1:")
        with dask.config.set(tls_settings(certificates, "client")):
            client = stack.enter_context(client_of(address))
            client.wait_for_workers(1, timeout=LONG_S)
            check_workers(client, address, [])
            spec = RunSpec(Options(), new_token(), crashing_on_cluster.CARRIER)
            pool = ClusterExecutor(client, address, spec, watcher=Watched(), warn=pytest.fail)
            assert pool.submit(job("good")).result(timeout=LONG_S).status == "written"
            pool.close()
        monkeypatch.setattr(scheduler, "CONNECT_S", 1.0)
        with (
            dask.config.set(tls_settings(certificates, "client", "stranger")),
            pytest.raises(UsageError, match="no scheduler answers there, or it refuses the certificate; "),
        ):
            connected(address, warn=pytest.fail)


@pytest.mark.parametrize(
    ("address", "settings", "line"),
    [
        ("tls://127.0.0.1:1", {}, "tls://127.0.0.1:1: Dask's configuration names no certificates"),
        (
            "tls://127.0.0.1:1",
            tls_settings(Path("gone"), "client"),
            "tls://127.0.0.1:1: the certificates in Dask's configuration cannot be read: ",
        ),
        (
            "127.0.0.1:1",
            {"distributed.comm.require-encryption": True},
            "127.0.0.1:1 is not encrypted, and Dask's configuration requires it; give the scheduler's tls:// address",
        ),
    ],
)
def test_certificates_that_do_not_match_the_address_are_one_line_at_once(address, settings, line):
    with dask.config.set(settings), pytest.raises(UsageError, match=f"^cluster={re.escape(line)}"):
        connected(address, warn=pytest.fail)
