"""The run's own stack: Kafka, Azurite behind the proxy, Airflow where it is wanted; own ports and folder.

Two homes: Azurite's (`storage`), and everything else's (`home`), whose `stack.json` names the proxy's port as
Azurite's. So drivers, the command line and Airflow's tasks all go through the proxy, by the product's own settings.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient

from jobs.topics import stock_ticks
from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.lake.store import LakeStore
from millrace.platforms.local import LocalPlatform, local_platform
from millrace.stack import process
from millrace.stack.airflow import prepare_airflow, start_airflow
from millrace.stack.azurite import AZURITE, account_key_file, blob_endpoint, start_azurite
from millrace.stack.containers import ensure_container
from millrace.stack.kafka import start_kafka
from millrace.stack.lifecycle import down
from millrace.stack.private_file import write_private
from millrace.stack.process_record import ProcessRecord, load_record
from millrace.stack.settings import load_settings, save_settings
from millrace.stack.spark_classes import ensure_spark
from millrace.stack.topics import ensure_topic
from millrace.supervision.stop_jobs import stop_jobs
from tests.faults.proxy import Proxy

__all__ = ["FaultStack"]

_SMALL_DISK_BYTES = 768 * 1024 * 1024


class FaultStack:
    """`root` is the run's folder. `environment` goes through the proxy, `direct` past it."""

    def __init__(self, root: Path, *, airflow: bool) -> None:
        self.home = Home(root / "home")
        self.storage = Home(root / "storage")
        self.proxy = Proxy()
        self.has_airflow = airflow
        self.has_small_disk = False
        self.environment: Environment
        self.direct: Environment
        self.store: LakeStore
        """Small files of the lake, read past the proxy."""

    def up(self) -> None:
        """Everything that was not started yet; raises MillraceError where a part does not come up."""
        port = self.proxy.start()
        self._mount_small_disk()
        self.start_azurite()
        write_private(account_key_file(self.home), account_key_file(self.storage).read_text(encoding="utf-8"))
        save_settings(self.home, AZURITE, port=port)
        start_kafka(self.home)
        ensure_spark(self.home)
        self.environment = load_environment("local", home=self.home)
        storage = replace(self.environment.storage, blob_endpoint=blob_endpoint(self.storage))
        self.direct = replace(self.environment, storage=storage)
        self.store = LakeStore(self.direct)
        ensure_container(self.direct)
        ensure_topic(self.environment, stock_ticks.name, stock_ticks.partitions)
        if self.has_airflow:
            prepare_airflow(self.home)
            self.start_airflow()

    def down(self) -> None:
        """Ends everything; the run's folder stays."""
        try:
            self._stop_other_machines()
            if hasattr(self, "environment"):
                stop_jobs(self.environment, "the fault run ends", stay_stopped=True, home=self.home)
        finally:
            down(self.home)
            down(self.storage)
            self.proxy.stop()
            if self.has_small_disk:
                subprocess.run(["umount", str(self.extents)], check=True)
                self.has_small_disk = False

    def start_azurite(self) -> bool:
        """Also takes connections again; False where it was running."""
        done = start_azurite(self.storage)
        self.proxy.listen(load_settings(self.storage, AZURITE)["port"])
        return done

    def start_kafka(self) -> bool:
        return start_kafka(self.home)

    def start_airflow(self) -> list[str]:
        """What `millrace up` does with it: starts what is missing, and waits until all is healthy."""
        return start_airflow(self.home, self.environment)

    def record(self, name: str) -> ProcessRecord:
        """The process `name` of the stack; fails where it was not started."""
        found = load_record(self.storage if name == AZURITE else self.home, name)
        assert found is not None, f"{name} was not started"
        return found

    def is_running(self, name: str) -> bool:
        return process.is_running(self.storage if name == AZURITE else self.home, name)

    def other_machine(self, name: str) -> LocalPlatform:
        """Where Spark runs too, and nobody knows of the jobs of this machine."""
        return LocalPlatform(self._machines / name, local_platform(self.environment, self.home).launch)

    @property
    def _machines(self) -> Path:
        return self.home.root / "machines"

    def _stop_other_machines(self) -> None:
        for folder in self._machines.glob("*"):
            platform = self.other_machine(folder.name)
            for job in platform.live_jobs():
                platform.cancel(job.id)

    @property
    def extents(self) -> Path:
        """Where Azurite keeps the content of blobs; its metadata are beside it, on the disk of this machine."""
        return self.storage.azurite / "__blobstorage__"

    def is_full(self) -> bool:
        """Whether Azurite refuses to store a blob of 1 MiB; asked once, past the proxy."""
        storage = self.direct.storage
        service = BlobServiceClient(storage.blob_endpoint, credential=self.direct.account_key(), retry_total=0)
        try:
            with service:
                service.get_blob_client(storage.container, "faults").upload_blob(bytes(2**20), overwrite=True)
        except HttpResponseError:
            return True
        return False

    def _mount_small_disk(self) -> None:
        """A tmpfs, which can be filled; where mounting is not permitted there is none."""
        self.extents.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK_BYTES}", "faults", str(self.extents)]
        self.has_small_disk = subprocess.run(command, capture_output=True, check=False).returncode == 0

    def remove(self) -> None:
        """The run's folder, after `down`."""
        shutil.rmtree(self.home.root.parent, ignore_errors=True)
