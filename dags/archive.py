"""One Airflow DAG per declared topic: it keeps the topic's raw archive."""

from jobs.topics import TOPICS
from millrace.builders import archive_layer

for topic in TOPICS.values():
    archive_layer(topic)
