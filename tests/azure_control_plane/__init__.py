"""A small Azure for tests: Resource Manager and the login, with a memory, at Azure's own host names."""
