"""Who may do what: every role at every door. And what nobody gets to see."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.manager.asking import CONFIG, create, join, managing, remove
from tests.processes import running_manager
from tests.talking import Reply, ask

# What each caller gets. The party has its leader (0), mia (1) and mo (2); lou (3) has left and kit (4) was sent away.
ROLES = "               nobody garbage mia  mo  leader lou kit other-leader no-bearer"
TABLE = """
create                 201    201   201  201   201  201 201      201       201
join                   201    201   201  201   201  201 201      201       201
show                   200    200   200  200   200  200 200      200       200
list                   200    200   200  200   200  200 200      200       200
nearby                 200    200   200  200   200  200 200      200       200
me                     200    200   200  200   200  200 200      200       200
remove-mia             401    401   204  403   204  401 401      401       401
remove-leader          401    401   403  403   204  401 401      401       401
remove-lou             401    401   404  404   404  401 401      401       401
remove-nobody          401    401   404  404   404  401 401      401       401
remove-no-number       404    404   404  404   404  404 404      404       404
remove-from-nowhere    404    404   404  404   404  404 404      404       404
remove-from-no-code    400    400   400  400   400  400 400      400       400
ban-mia                401    401   403  403   204  401 401      401       401
ban-leader             401    401   403  403   403  401 401      401       401
ban-lou                401    401   404  404   404  401 401      401       401
update                 401    401   403  403   200  401 401      401       401
update-mia             401    401   200  403   403  401 401      401       401
update-leader          401    401   403  403   200  401 401      401       401
update-lou             401    401   404  404   404  401 401      401       401
hand-over              401    401   403  403   200  401 401      401       401
hand-over-to-lou       401    401   403  403   404  401 401      401       401
close                  401    401   403  403   204  401 401      401       401
say                    401    401   202  202   202  401 401      401       401
beat-mia               401    401   204  403   403  401 401      401       401
beat-leader            401    401   403  403   204  401 401      401       401
beat-lou               401    401   404  404   404  401 401      401       401
listen-head            401    401   200  200   200  401 401      401       401
listen-elsewhere       404    404   404  404   404  404 404      404       404
close-nowhere          404    404   404  404   404  404 404      404       404
"""
CELLS = {
    action: dict(zip(ROLES.split(), map(int, statuses), strict=True))
    for action, *statuses in map(str.split, TABLE.strip().splitlines())
}
CODES = {
    401: {"token_missing", "token_invalid"},
    403: {"not_allowed"},
    404: {"participant_not_found", "party_not_found"},
    400: {"bad_party_code"},
}

SEATS = [(0, True), (1, False), (2, False)]


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """A manager with one area code, and so one key for all tokens: nothing but the party tells them apart."""
    config = tmp_path / "managers.yaml"
    config.write_text(CONFIG.read_text().replace("[200-299]", "[200]"))
    async with managing(tmp_path / "manager.db", config=config) as its_port:
        yield its_port


async def scene(port: int) -> tuple[str, dict[str, str]]:
    """The party's code, and what each role says of itself in the Authorization header."""
    leader = await create(port, "lea", lat=1, lng=1)
    code = leader["party_code"]
    mia, mo, lou, kit = [await join(port, code, name) for name in ("mia", "mo", "lou", "kit")]
    other = await create(port, "quin")
    assert (await remove(port, code, lou["participant_id"], lou["token"])).status == 204
    assert (await remove(port, code, kit["participant_id"], leader["token"])).status == 204
    tokens = {"mia": mia, "mo": mo, "leader": leader, "lou": lou, "kit": kit, "other-leader": other}
    says = {role: f"Bearer {its['token']}" for role, its in tokens.items()}
    return code, says | {"garbage": "Bearer garbage", "no-bearer": f"Basic {leader['token']}"}


async def act(port: int, action: str, code: str, headers: dict[str, str]) -> Reply:
    """The reply to what the action says, with these headers."""
    new = {"device_id": "somebody-new"}
    nowhere = "200000001" if code != "200000001" else "200000002"
    calls: dict[str, tuple[str, str, object]] = {
        "create": ("POST", "/parties", new),
        "join": ("POST", f"/parties/{code}/participants", new),
        "show": ("GET", f"/parties/{code}", None),
        "list": ("GET", f"/parties/{code}/participants", None),
        "nearby": ("GET", "/parties/nearby?lat=1&lng=1", None),
        "me": ("POST", "/me", {"device_id": "mia"}),
        "remove-leader": ("DELETE", f"/parties/{code}/participants/0", None),
        "remove-mia": ("DELETE", f"/parties/{code}/participants/1", None),
        "remove-lou": ("DELETE", f"/parties/{code}/participants/3", None),
        "remove-nobody": ("DELETE", f"/parties/{code}/participants/99", None),
        "remove-no-number": ("DELETE", f"/parties/{code}/participants/-1", None),
        "remove-from-nowhere": ("DELETE", f"/parties/{nowhere}/participants/0", None),
        "remove-from-no-code": ("DELETE", "/parties/12345678/participants/0", None),
        "ban-mia": ("DELETE", f"/parties/{code}/participants/1?ban=true", None),
        "ban-leader": ("DELETE", f"/parties/{code}/participants/0?ban=true", None),
        "ban-lou": ("DELETE", f"/parties/{code}/participants/3?ban=true", None),
        "update": ("PATCH", f"/parties/{code}", {"name": "new"}),
        "update-mia": ("PATCH", f"/parties/{code}/participants/1", {"participant_name": "new"}),
        "update-leader": ("PATCH", f"/parties/{code}/participants/0", {"participant_name": "new"}),
        "update-lou": ("PATCH", f"/parties/{code}/participants/3", {"participant_name": "new"}),
        "hand-over": ("PUT", f"/parties/{code}/leader", {"participant_id": 2}),
        "hand-over-to-lou": ("PUT", f"/parties/{code}/leader", {"participant_id": 3}),
        "close": ("DELETE", f"/parties/{code}", None),
        "say": ("POST", f"/parties/{code}/messages", {"body": {}}),
        "beat-mia": ("POST", f"/parties/{code}/participants/1/heartbeat", None),
        "beat-leader": ("POST", f"/parties/{code}/participants/0/heartbeat", None),
        "beat-lou": ("POST", f"/parties/{code}/participants/3/heartbeat", None),
        "listen-head": ("HEAD", f"/parties/{code}/events", None),
        "listen-elsewhere": ("GET", f"/parties/{nowhere}/events", None),
        "close-nowhere": ("DELETE", f"/parties/{nowhere}", None),
    }
    method, path, body = calls[action]
    return await ask(port, method, path, body=body, headers=headers)


@pytest.mark.parametrize("action", CELLS)
async def test_each_role_may_do_what_the_table_says(port: int, action: str) -> None:
    """What is refused changes nothing, so the scene is set anew only after what was granted."""
    code, says = await scene(port)
    for role, status in CELLS[action].items():
        reply = await act(port, action, code, {"Authorization": says[role]} if role in says else {})
        assert reply.status == status, role
        assert reply.header("www-authenticate") == ("Bearer" if status == 401 else None)
        if status < 400:
            code, says = await scene(port)
            continue
        assert not reply.body or reply.refusal()[1] in CODES[status]
        participants = (await ask(port, "GET", f"/parties/{code}/participants")).json()["participants"]
        assert [(one["participant_id"], one["is_leader"]) for one in participants] == SEATS


async def test_a_token_is_good_only_as_it_was_given(port: int) -> None:
    ann = await create(port, "ann")
    code, token = ann["party_code"], ann["token"]
    spoilt = [token[:-1], token + "A", token.swapcase(), token + "=", "", " ", "A" * 28, "\xff" * 28, token[::-1]]
    spoilt += [token.translate(str.maketrans("-_", "+/"))] if set(token) & {"-", "_"} else []
    spoilt += [f"{token[:at]}{'A' if token[at] != 'A' else 'B'}{token[at + 1 :]}" for at in range(28)]
    for wrong in spoilt:
        assert (await remove(port, code, 0, wrong)).status == 401, wrong
    assert (await remove(port, code, 0, token)).status == 204


async def test_a_token_of_the_seat_s_earlier_party_is_good_for_nothing_in_the_next(port: int) -> None:
    ann = await create(port, "ann")
    await remove(port, ann["party_code"], 0, ann["token"])
    again = await create(port, "ann")
    assert again["token"] != ann["token"]
    assert (await remove(port, again["party_code"], 0, ann["token"])).refusal() == (401, "token_invalid")


async def test_a_promoted_participant_has_the_leader_s_rights(port: int) -> None:
    ann = await create(port, "ann")
    code = ann["party_code"]
    bob, _ = await join(port, code, "bob"), await join(port, code, "cid")
    assert (await remove(port, code, 2, bob["token"])).refusal() == (403, "not_allowed")
    await remove(port, code, 0, ann["token"])
    assert (await remove(port, code, 2, bob["token"])).status == 204


async def test_nobody_sees_the_device_or_the_token_of_another(port: int) -> None:
    ann = await create(port, "device-of-ann", lat=1, lng=1)
    code = ann["party_code"]
    bob = await join(port, code, "device-of-bob")
    for reply in (
        await ask(port, "GET", f"/parties/{code}"),
        await ask(port, "GET", f"/parties/{code}/participants"),
        await ask(port, "GET", "/parties/nearby?lat=1&lng=1"),
        await ask(port, "POST", "/me", body={"device_id": "device-of-bob"}),
        await ask(port, "GET", "/metrics"),
    ):
        assert reply.status == 200
        for secret in ("device-of", ann["token"]):
            assert secret not in reply.body.decode()
    assert ann["token"] not in str(bob)


async def test_neither_device_nor_token_nor_place_is_in_the_logs(tmp_path: Path) -> None:
    with running_manager(tmp_path / "manager.db") as service:
        ann = await create(service.port, "device-of-ann", participant_name="Ann", lat=38.123456, lng=-77.123456)
        code, secret = ann["party_code"], {"Authorization": f"Bearer {ann['token']}"}
        await ask(service.port, "GET", "/parties/nearby?lat=38.123456&lng=-77.123456")
        await ask(service.port, "GET", "/parties/nearby?lat=38.123456&lng=-77.123456&x=1")
        await ask(service.port, "DELETE", f"/parties/{code}/participants/5", headers=secret)
        for broken in ({**secret, "X": "a\r\n b"}, {**secret, "Content-Length": "x"}, {**secret, "Expect": "x"}):
            await ask(
                service.port, "POST", "/parties?lat=38.123456", body=b'{"device_id":"device-of-ann"}', headers=broken
            )
        await ask(service.port, "POST", "/parties", body=b'{"device_id":"device-of-ann","x":[[')
        assert service.end() == 0
        written = "\n".join(service.lines()) + service.stderr()
        for word in ("device-of-ann", ann["token"], "38.12", "77.12", "Ann"):
            assert word not in written
        assert [entry["event"] for entry in service.events()] == ["listening", "ended"]


async def test_device_ids_and_exact_places_are_not_in_the_database(tmp_path: Path) -> None:
    database = tmp_path / "manager.db"
    async with managing(database) as port:
        ann = await create(port, "device-of-ann", lat=38.123456, lng=-77.123456)
        await join(port, ann["party_code"], "device-of-bob")
    db = sqlite3.connect(database)
    dump = "\n".join(db.iterdump())
    db.close()
    assert str(ann["party_code"]) in dump
    for secret in ("device-of", ann["token"], "38.12", b"device-of".hex(), b"device-of".hex().upper()):
        assert secret not in dump
