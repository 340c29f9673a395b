"""``agent-server db``: migrate, prove and back up the database."""
