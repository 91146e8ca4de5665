"""Keeping Spark jobs under supervision: who may adopt, start and stop what, and what follows from an end."""
