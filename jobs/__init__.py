"""What travels to a Spark cluster: declarations, the shared transformation code, the jobs."""
