"""The Airflow DAG `accept_loss`: streams go on without records that Kafka has lost, and that is said for ever.

A stream whose next offsets Kafka no longer has (retention, deleted records) stops, and its task fails with a message
that names topic, partition and offsets. Nothing is skipped until a person accepts the loss:

1. Trigger this DAG with the topic, and `confirm` off: its log shows what is lost.
2. Trigger it again with a reason and `confirm` on. The ledger keeps the offsets, who accepted them, when and why
   (`millrace ledger <topic>`), and every interval that a lost record may belong to is published as *partial* from
   then on, for ever. What the archive has and a stream alone skips makes that stream's rows *partial*, until their
   intervals are published.
3. Clear the tasks of the streams that stopped. They go on behind the accepted offsets. What Kafka has lost since step 2
   stops them again.
"""

from airflow.sdk import DAG, Param, get_current_context, task

from jobs.topics import TOPICS

NAMES = sorted(TOPICS)
VERSIONS = "Neither served nor the code's, whose streams are to go on too: one that is rolled back to, say."
PARAMS = {
    "topic": Param(NAMES[0], type="string", enum=NAMES, title="Topic", description="Whose loss to accept."),
    "reason": Param("", type="string", title="Reason", description="For whoever finds it in the ledger."),
    "versions": Param([], type="array", items={"type": "string"}, title="Versions", description=VERSIONS),
    "confirm": Param(False, type="boolean", title="Give the offsets up", description="Off: only show what is lost."),
}

with DAG("accept_loss", schedule=None, max_active_runs=1, tags=["millrace"], params=PARAMS, doc_md=__doc__):

    @task(retries=0)
    def accept_loss() -> dict:
        """What is lost, and what was accepted."""
        from millrace.tasks.accept_loss import accept_topic_loss, who_triggered

        context = get_current_context()
        return accept_topic_loss(**context["params"], who=who_triggered(context), environment_name=None)

    accept_loss()
