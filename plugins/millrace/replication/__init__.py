"""Replication of Kafka's topics to a second cluster by MirrorMaker 2, and the proof that all arrived."""
