"""One Spark session and one local stack per test run. Runs on Python 3.8 as well: the Airflow side is imported late."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List

import pytest
from hypothesis import HealthCheck, settings

from jobs.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from millrace.environment import Environment
    from millrace.home import Home
    from tests.azure_control_plane.cloud import Azure
    from tests.infra.openapi import Judge

_ROOT = Path(__file__).parents[1]
_WITH_DRIVERS = (
    "tests/conformance/",
    "tests/end_to_end/one_stack/",
    "tests/end_to_end/test_airflow_on_databricks.py",
    "tests/end_to_end/test_command_line.py",
    "tests/faults/",
)

# An example is a Spark job: no deadline, and a session is shared on purpose.
settings.register_profile(
    "spark",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("spark")

# They tell of every request, and once a test has set Airflow's logging up, to a stream that pytest has closed.
for chatty in ("azure", "py4j"):
    logging.getLogger(chatty).setLevel(logging.WARNING)


def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    """What brings Airflow and its streams up comes last: they would slow everything after them down.

    Where several workers share the tests, it comes first instead, since it takes longest: that with the fewest tests
    before others, for a worker on its last test but one is given the next file, and keeps it from one that idles.
    """

    def place(item: pytest.Item) -> tuple[bool, ...]:
        return tuple(folder in item.path.parts for folder in ("end_to_end", "faults", "conformance"))

    items.sort(key=place, reverse=hasattr(config, "workerinput"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """After Ctrl-C the workers have time to stop what they have started; xdist kills them after 10 s otherwise."""
    from xdist.workermanage import NodeManager

    NodeManager.EXIT_TIMEOUT = 180


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests stay together, and so do all that start many drivers: two of them at once are too many.

    A stream with nothing to do plans micro-batches all the same: what one test has running slows the other down."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "drivers" if file.startswith(_WITH_DRIVERS) else file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session with the settings of `jobs.session`, the jars of the engine that is installed, and little of all else.

    Fails when another one lives in this process. `lake` gives it the storage account's key.
    """
    from pyspark.sql import SparkSession

    from jobs.session import EXACTNESS

    folder = tmp_path_factory.mktemp("spark")
    os.environ.update(
        PYSPARK_PYTHON=sys.executable,
        PYSPARK_DRIVER_PYTHON=sys.executable,
        SPARK_LOCAL_IP="127.0.0.1",
        SPARK_CONF_DIR=str(_ROOT / "plugins" / "millrace" / "platforms" / "spark_conf"),
    )
    assert SparkSession.getActiveSession() is None
    builder = SparkSession.builder.master("local[2]").appName("tests")
    for key, value in {**_spark_settings(folder), **EXACTNESS}.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Kafka and Azurite, in a data folder of their own; nothing of them is left after the run."""
    from millrace.home import Home
    from millrace.stack.lifecycle import down, up

    home = Home(tmp_path_factory.mktemp("stack") / "home")
    try:
        up(home, airflow=False)
        yield home
    finally:
        down(home)


@pytest.fixture(scope="session")
def environment(stack: Home) -> Environment:
    """Where Kafka and the lake of this run are."""
    from millrace.environment import load_environment

    return load_environment("local", home=stack)


@pytest.fixture(scope="session")
def kafka(environment: Environment) -> str:
    """HOST:PORT of the broker."""
    return environment.kafka_bootstrap


@pytest.fixture
def lake(spark: SparkSession, environment: Environment) -> Lake:
    """An empty lake on Azurite, which the session can reach."""
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    for key, value in environment.hadoop_options().items():
        hadoop.set(key, value)
    return Lake(f"{environment.lake}/{uuid.uuid4().hex}")


@pytest.fixture
def local_lake(tmp_path: Path) -> Lake:
    """An empty lake in a local folder: quick, and without the stack."""
    return Lake((tmp_path / "lake").as_uri())


@pytest.fixture(scope="session")
def azure_judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """Microsoft's validator of requests and answers, ready."""
    from tests.infra.openapi import FILES, validator
    from tests.infra.spec_gaps import without_gaps
    from tests.infra.specs import specs_folder

    specs = without_gaps(specs_folder("rest-2024-07-12"), tmp_path_factory.mktemp("openapi"))
    with validator(FILES, specs) as judge:
        yield judge


@pytest.fixture
def azure(azure_judge: Judge, tmp_path: Path) -> Iterator[Azure]:
    """An Azure with nothing in it, which unmodified clients in this process and its children find by Azure's names.

    The test fails where a request, an answer or a created resource is not as Microsoft's definitions have it.
    """
    from tests.azure_control_plane.cloud import azure_cloud
    from tests.azure_control_plane.judgement import mistakes

    with azure_cloud(tmp_path) as cloud:
        yield cloud
    assert mistakes(cloud, azure_judge) == []


def _spark_settings(folder: Path) -> Dict[str, str]:
    # The quick compiler alone, and room for what it compiles: 48 MB, as it has by default, were full within 16 minutes,
    # and a sixth of the time went into discarding alone.
    compiler = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
    java = f"-XX:+UseSerialGC {compiler} -XX:-UsePerfData -Dderby.system.home={folder}"
    return {
        "spark.driver.extraClassPath": os.pathsep.join(_spark_jars()),
        "spark.driver.extraJavaOptions": java,
        "spark.driver.memory": "2g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(folder),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.shuffle.partitions": "2",
        # A class compiled for each query of a few rows took two fifths of the time. Drivers, which end-to-end tests,
        # faults and conformance start, do compile.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.databricks.delta.snapshotPartitions": "2",
    }


def _spark_jars() -> List[str]:
    """Of the engine that is installed. Python 3.8 cannot run what fetches them: `make test` hands it their paths."""
    if sys.version_info >= (3, 11):
        from millrace.stack.jars import fetch_jars

        return [str(jar) for jar in fetch_jars("spark")]
    if "MILLRACE_SPARK33_JARS" not in os.environ:
        pytest.exit("MILLRACE_SPARK33_JARS is not set: run `make test-spark33`", returncode=2)
    return os.environ["MILLRACE_SPARK33_JARS"].split(os.pathsep)
