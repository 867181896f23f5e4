"""What the documents tell of, done for real: of a dispatcher, and of what every service answers."""

from tests.contract.documents import METHODS
from tests.contract.walk import Walk

FIND = "/managers/find"

NOT_THERE = "499000000"
LONG_QUERY = {"lat": "4" * 2100}
TWICE = [("lat", 1), ("lat", 2)]

SERVICE = (
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "/openapi.yaml",
    "/events.yaml",  # of a manager
    "/docs",
    "/docs/start.js",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
)
_EXAMPLES = {"/livez": "alive", "/readyz": "ready", "/version": "version"}


def dispatcher_story(walk: Walk) -> None:
    """All that a dispatcher answers while it serves."""
    walk.call("GET", FIND, query=walk.query_example(FIND), answers="by_position")
    walk.call("GET", FIND, query={"party_code": "457 495 738"}, answers="by_party_code")
    walk.call("GET", "/managers", answers="listed")
    walk.call("GET", FIND, query={"lat": 45.5}, answers="missing_parameter")
    walk.call("GET", FIND, query={"lat": 95, "lng": 0}, answers="bad_coordinates")
    walk.call("GET", FIND, query={"party_code": "999 000 000"}, answers="area_code_unknown")
    walk.call("GET", FIND)
    walk.call("GET", FIND, query={"lat": 0, "lng": "west"})
    walk.call("GET", FIND, query={"lat": 0, "party_code": 457495738})
    for query in ({"party_code": "0"}, {"town": "Bonn"}, LONG_QUERY, TWICE):
        walk.call("GET", FIND, query=query)
    walk.call("GET", "/managers", query={"region": "x"}, answers="unknown_parameter")
    walk.call("GET", "/managers", query=LONG_QUERY)
    what_every_service_answers(walk)


def what_every_service_answers(walk: Walk) -> None:
    """What is the same everywhere, and what any request can meet, at each call."""
    service_paths = [path for path in SERVICE if path in walk.document.root["paths"]]
    for path in service_paths:
        walk.call("GET", path, answers=_EXAMPLES.get(path))
    walk.call("GET", "/nothing")
    assert walk.call("GET", "/livez", headers={"X-Request-Id": "two words"}).headers["x-request-id"] != "two words"
    for operation, _ in list(walk.document.operations()):
        taken = walk.document.root["paths"][operation.path]
        other = next(method for method in METHODS if method not in taken)
        walk.call(other.upper(), operation.path, code=NOT_THERE, participant_id=0)
        walk.call(*operation, headers={"Expect": "a miracle"}, code=NOT_THERE, participant_id=0)
        answers = "bad_http" if operation.path in SERVICE else None
        walk.call(*operation, headers={"X-Long": "a" * 9000}, code=NOT_THERE, participant_id=0, answers=answers)
