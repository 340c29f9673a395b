from agent_server.ids import new_id


def test_ids_carry_their_prefix_and_do_not_repeat() -> None:
    ids = [new_id("run") for _ in range(1000)]
    assert len(set(ids)) == len(ids)
    assert all(len(made) == len("run_") + 26 and made.startswith("run_") for made in ids)
