"""Publish and subscribe: everyone who listens hears everything, in order and at once."""

from chassis.bus import Hub


def test_listeners_hear_all_of_their_topic_in_order_and_at_once() -> None:
    hub: Hub[str] = Hub()
    heard: list[str] = []
    hub.subscribe(1, heard.append)
    hub.subscribe(1, lambda message: heard.append(message.upper()))
    hub.publish(1, "a")
    assert heard == ["a", "A"]
    hub.publish(2, "b")
    hub.publish(1, "c")
    assert heard == ["a", "A", "c", "C"]


def test_what_was_published_before_is_not_heard() -> None:
    hub: Hub[str] = Hub()
    heard: list[str] = []
    hub.publish(1, "too early")
    hub.subscribe(1, heard.append)
    assert heard == []


def test_who_no_longer_listens_hears_nothing_more_and_nothing_is_kept() -> None:
    hub: Hub[str] = Hub()
    ann: list[str] = []
    bob: list[str] = []
    tell_ann = ann.append
    hub.subscribe(1, tell_ann)
    hub.subscribe(1, bob.append)
    assert len(hub) == 1
    hub.unsubscribe(1, tell_ann)
    hub.publish(1, "a")
    assert (ann, bob) == ([], ["a"])
    hub.unsubscribe(1, bob.append)
    hub.publish(1, "b")
    assert (ann, bob) == ([], ["a"])
    assert len(hub) == 0


def test_listeners_may_stop_while_they_hear_and_all_others_hear_it_still() -> None:
    hub: Hub[str] = Hub()
    heard: list[str] = []

    def once(message: str) -> None:
        heard.append(message)
        hub.unsubscribe(1, once)

    hub.subscribe(1, once)
    hub.subscribe(1, heard.append)
    hub.publish(1, "a")
    hub.publish(1, "b")
    assert heard == ["a", "a", "b"]


def test_who_begins_to_listen_while_others_hear_hears_the_next() -> None:
    hub: Hub[str] = Hub()
    heard: list[str] = []

    def bring_a_friend(message: str) -> None:
        if message == "a":
            hub.subscribe(1, heard.append)

    hub.subscribe(1, bring_a_friend)
    hub.publish(1, "a")
    hub.publish(1, "b")
    assert heard == ["b"]
