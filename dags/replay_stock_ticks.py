"""The Airflow DAG `replay_stock_ticks`: the shipped sample data, with its own event times, for `stock_ticks`."""

from airflow.sdk import DAG, Param, get_current_context, task

from jobs.topics import stock_ticks
from millrace.tasks.produce import replay_ticks, sample_files

PARAMS = {
    "file": Param(
        None,
        type=["null", "string"],
        enum=[None, *sample_files()],
        title="File",
        description="From infra/local/sample_data. Empty: all of them, in order of event time.",
    ),
    "speed": Param(
        None,
        type=["null", "number"],
        exclusiveMinimum=0,
        title="Speed",
        description="Event time per wall time: 1 is real time, 3600 an hour a second. Empty: as fast as possible.",
    ),
}

with DAG("replay_stock_ticks", schedule=None, tags=["millrace", stock_ticks.name], params=PARAMS, doc_md=__doc__):

    @task
    def replay() -> dict[str, object]:
        params = get_current_context()["params"]
        return replay_ticks(stock_ticks.name, params["file"], params["speed"])

    replay()
