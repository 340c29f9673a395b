"""``python -m agent_server``: the same as the ``agent-server`` command."""

from agent_server.cli.main import main

if __name__ == "__main__":
    main()
