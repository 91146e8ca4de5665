"""The Airflow DAG `scale`: gives an HDInsight cluster of an environment on Azure more workers, or fewer.

It works on what `provision` made with this prefix and size, by the connection `azure_default`.

1. **plan** says how many workers there are, how many there will be, and what both cost by the hour. It refuses what
   HDInsight would: fewer brokers of Kafka, and a cluster whose workers follow a schedule. A dry run ends here, and so
   does a run that asks for what is there.
2. **approve**: somebody approves or rejects, under *Required actions*; with `approve` nobody is asked.
3. **workers** asks for it and waits, without a worker slot. Clear it after a failure: it waits for what is under way.

Fewer workers of Spark end executors that run on them: streams go on with what is left, or are started again, and lose
nothing. New brokers get partitions of topics that are made afterwards; those of older topics stay where they are until
somebody reassigns them. `provision` makes a cluster that was deleted with the number of its parameters again.
"""

from airflow.sdk import DAG

from millrace.builders import azure_form
from millrace.builders.azure_scale import scale

PARAMS = azure_form.scale_params()

with DAG("scale", schedule=None, max_active_runs=1, tags=["millrace", "azure"], params=PARAMS, doc_md=__doc__):
    scale()
