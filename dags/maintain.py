"""The Airflow DAG `maintain`: what nothing needs any more leaves the lake."""

from millrace.builders import maintain

maintain()
