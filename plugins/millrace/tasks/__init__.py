"""What plain tasks do: everything that needs no Spark."""
