"""The Airflow DAG `produce_stock_ticks`: artificial stock prices for the topic `stock_ticks`."""

from airflow.sdk import DAG, Param, get_current_context, task

from jobs.topics import stock_ticks
from millrace.tasks.produce import PRINT_EACH, SLOW, produce_ticks


def fraction(title: str, description: str) -> Param:
    return Param(0.0, type="number", minimum=0, maximum=1, title=title, description=description, section="Bad days")


PARAMS = {
    "rate": Param(
        None,
        type=["null", "number"],
        exclusiveMinimum=0,
        maximum=100_000,
        title="Rate (events/s)",
        description="Over all symbols. Empty: each of the ten symbols every 10 seconds.",
    ),
    "duration_s": Param(
        300,
        type=["null", "number"],
        minimum=0,
        title="Duration (s)",
        description="Of event time. Empty: until the run is marked failed (live only).",
    ),
    "start": Param(
        None,
        type=["null", "string"],
        format="date-time",
        title="Start",
        description="Event time of the first price: past prices are sent as fast as possible. Empty: live, from now.",
    ),
    "seed": Param(0, type="integer", title="Seed", description="The same seed and start give the same records."),
    "print_each": Param(
        PRINT_EACH[0],
        type="string",
        enum=list(PRINT_EACH),
        title="Print each delivery",
        description=f"Its partition and offset, in the task's log. Slow: live, and up to {SLOW} events/s.",
    ),
    "late": fraction("Late", "Fraction of prices that are late."),
    "max_delay_s": Param(300, type="number", minimum=0, title="Latest (s)", section="Bad days"),
    "disorder": fraction("Disorder", "Fraction of prices that are sent after their turn."),
    "duplicates": fraction("Duplicates", "Fraction of prices that are sent twice."),
    "garbage": fraction("Garbage", "Fraction of records that cannot be decoded."),
}

with DAG("produce_stock_ticks", schedule=None, tags=["millrace", stock_ticks.name], params=PARAMS, doc_md=__doc__):

    @task
    def produce() -> dict[str, object]:
        return produce_ticks(stock_ticks.name, get_current_context()["params"])

    produce()
