"""Publish and subscribe within one process: whoever listens to a topic hears every message, in order, at once."""

from collections.abc import Callable
from typing import Generic, TypeVar

Message = TypeVar("Message")
Listener = Callable[[Message], None]


class Hub(Generic[Message]):
    """Topics are whole numbers. Nothing is kept: a message to a topic without listeners is gone."""

    def __init__(self) -> None:
        self._listeners: dict[int, list[Listener[Message]]] = {}

    def subscribe(self, topic: int, listener: Listener[Message]) -> None:
        """From now on `listener` hears what is published. It must not raise, and may unsubscribe while it hears."""
        self._listeners.setdefault(topic, []).append(listener)

    def unsubscribe(self, topic: int, listener: Listener[Message]) -> None:
        """`listener` hears nothing more."""
        listeners = self._listeners[topic]
        listeners.remove(listener)
        if not listeners:
            del self._listeners[topic]

    def publish(self, topic: int, message: Message) -> None:
        """Tells everyone who listens now."""
        listeners = self._listeners.get(topic)
        if listeners is not None:
            for listener in tuple(listeners):
                listener(message)

    def __len__(self) -> int:
        """How many topics are listened to."""
        return len(self._listeners)
