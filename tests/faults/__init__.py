"""The fault suite: a producer that never stops, a nemesis, a reader that believes nothing. See docs/decisions/0016."""
