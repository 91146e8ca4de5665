"""The Airflow DAG `redecode`: dead letters of a topic get a second chance, after its decoder was corrected.

1. Correct the topic's declaration, or the decoder: `millrace dead-letters <topic>` shows what could not be decoded.
2. Clear the task of the topic's archive DAG: it decodes new records as corrected from then on. A decoder is part of a
   pipeline's version: its DAG `<pipeline>__upgrade` brings the corrected one into service.
3. Trigger this DAG. Records that decode now move into their days, in one commit; the others keep their reason.

A moved record is *pending late* of its interval: the next nightly run of each pipeline repairs published intervals
that have such records, as far back as it looks. The task's log names those that are older, and how to repair them.
Running this DAG again changes nothing.
"""

from airflow.sdk import DAG, Param

from jobs.topics import TOPICS
from millrace.operators.redecode import RedecodeOperator

NAMES = sorted(TOPICS)
TOPIC = Param(NAMES[0], type="string", enum=NAMES, title="Topic", description="Whose dead letters to decode again.")

with DAG("redecode", schedule=None, max_active_runs=1, tags=["millrace"], params={"topic": TOPIC}, doc_md=__doc__):
    RedecodeOperator(task_id="redecode", topic="{{ params.topic }}")
