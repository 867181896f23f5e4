"""The roster file: what is read from it, and the sentence for every mistake in it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.roster import MAX_FILE_BYTES, Roster, RosterError, read_roster

CONFIG = Path(__file__).parent.parent / "config"

# Lines 1 to 13; the mistakes below replace one of them.
TWO = """\
managers:
  - hostname: us-east-1.app.local
    region: us-east-1
    lat: 38.13
    lng: -78.45
    area_codes: [200-299, 457]
    url: https://us-east-1.example:8443
    internal_url: http://[::1]:8080
  - hostname: ca-central-1.app.local
    region: ca-central-1
    lat: 45
    lng: -73.57
    area_codes: [400-449]
"""
LINES = TWO.splitlines()

NUMBER = "must be a number from -90 to 90"
HOSTNAME = "must be a lower-case host name without scheme or port, as in us-east-1.app.local"
REGION = "must be 1 to 64 letters, digits, dots, dashes or underscores, as in us-east-1"
AREA_CODES = "must be a list of codes or ranges within 100-999, as in [200-299, 457]"
AREA_CODE = "must be a code within 100-999 or a range of them from low to high, as in 200-299"
URL = "must be http:// or https://, a host and perhaps a port, as in http://us-east-1.app.local:8080"
MANAGERS = "must be a list of 1 to 900 managers"
FIELDS = "hostname, region, lat, lng, area_codes, url, internal_url"


def read(folder: Path, text: str | bytes) -> Roster:
    path = folder / "managers.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_roster(path)


def mistake_in(folder: Path, text: str | bytes) -> str:
    """The sentence for what is wrong with the text, without the folder."""
    with pytest.raises(RosterError) as caught:
        read(folder, text)
    return str(caught.value).removeprefix(f"{folder}/")


def with_line(number: int, text: str) -> str:
    return "\n".join([*LINES[: number - 1], text, *LINES[number:]]) + "\n"


def test_the_roster_holds_what_the_file_says(tmp_path: Path) -> None:
    us, ca = read(tmp_path, TWO).managers
    assert (us.hostname, us.region, us.lat, us.lng) == ("us-east-1.app.local", "us-east-1", 38.13, -78.45)
    assert us.area_codes.ranges() == ("200-299", "457")
    assert (us.url, us.internal_url) == ("https://us-east-1.example:8443", "http://[::1]:8080")
    assert (ca.lat, ca.area_codes.ranges()) == (45.0, ("400-449",))


def test_the_url_is_the_hostname_unless_written_and_services_use_it_too(tmp_path: Path) -> None:
    _, ca = read(tmp_path, TWO).managers
    assert (ca.url, ca.internal_url) == ("http://ca-central-1.app.local", "http://ca-central-1.app.local")
    us, _ = read(tmp_path, "\n".join(line for line in LINES if "internal_url" not in line)).managers
    assert us.internal_url == "https://us-east-1.example:8443"


def test_managers_are_found_by_area_code_and_by_hostname(tmp_path: Path) -> None:
    roster = read(tmp_path, TWO)
    us, ca = roster.managers
    assert [roster.of_area_code(code) for code in (199, 200, 299, 300, 457)] == [None, us, us, None, us]
    assert roster.of_hostname("ca-central-1.app.local") is ca
    assert roster.of_hostname("nobody.app.local") is None


def test_a_port_goes_into_default_urls_only(tmp_path: Path) -> None:
    roster = read(tmp_path, TWO)
    us, ca = roster.at_port(9000).managers
    assert (us.url, us.internal_url) == ("https://us-east-1.example:8443", "http://[::1]:8080")
    assert (ca.url, ca.internal_url) == (f"http://{ca.hostname}:9000", f"http://{ca.hostname}:9000")
    assert ca.hostname == "ca-central-1.app.local"
    assert roster.at_port(80) == roster


def test_a_hostname_may_be_as_long_as_the_domain_name_system_allows(tmp_path: Path) -> None:
    longest = "a." * 126 + "a"
    roster = read(tmp_path, TWO.replace("ca-central-1.app.local", longest))
    assert roster.of_hostname(longest) is roster.managers[1]


def test_a_roster_of_nobody_finds_nobody() -> None:
    assert Roster(()).of_area_code(457) is None
    assert Roster(()).of_hostname("us-east-1.app.local") is None


def test_the_roster_of_the_compose_file_names_its_services() -> None:
    managers = read_roster(CONFIG / "managers.yaml").managers
    assert [manager.url for manager in managers] == [f"http://{manager.hostname}" for manager in managers]
    assert [manager.internal_url for manager in managers] == [f"http://{manager.region}:8080" for manager in managers]


def test_the_local_roster_is_that_of_the_compose_file_under_localhost() -> None:
    here = read_roster(CONFIG / "local.yaml").managers
    there = read_roster(CONFIG / "managers.yaml").managers
    assert [manager.hostname for manager in here] == [f"{manager.region}.localhost" for manager in here]
    assert [(m.region, m.lat, m.lng, m.area_codes) for m in here] == [
        (m.region, m.lat, m.lng, m.area_codes) for m in there
    ]


@pytest.mark.parametrize(
    ("line", "text", "sentence"),
    [
        (2, "  - hostname: US.app.local", f"managers[0].hostname: {HOSTNAME}, not 'US.app.local'"),
        (2, "  - hostname: a.local:8080", f"managers[0].hostname: {HOSTNAME}, not 'a.local:8080'"),
        (2, "  - hostname: http://a.local", f"managers[0].hostname: {HOSTNAME}, not 'http://a.local'"),
        (2, "  - hostname: a_b.local", f"managers[0].hostname: {HOSTNAME}, not 'a_b.local'"),
        (2, "  - hostname: a..local", f"managers[0].hostname: {HOSTNAME}, not 'a..local'"),
        (2, "  - hostname: -a.local", f"managers[0].hostname: {HOSTNAME}, not '-a.local'"),
        (2, "  - hostname: 'a\u0661.local'", f"managers[0].hostname: {HOSTNAME}, not 'a\u0661.local'"),
        (2, "  - hostname: ''", f"managers[0].hostname: {HOSTNAME}, not ''"),
        (2, "  - hostname:", f"managers[0].hostname: {HOSTNAME}, not nothing"),
        (2, "  - hostname: [a.local]", f"managers[0].hostname: {HOSTNAME}, not a list"),
        (2, "  - hostname: !env A", f"managers[0].hostname: {HOSTNAME}, not 'A'"),
        (2, f"  - hostname: {'a' * 64}", f"managers[0].hostname: {HOSTNAME}, not '{'a' * 60}...'"),
        (2, f"  - hostname: {'a.' * 127}a", f"managers[0].hostname: {HOSTNAME}, not '{'a.' * 30}...'"),
        (3, "    region: New York", f"managers[0].region: {REGION}, not 'New York'"),
        (3, "    region: ~", f"managers[0].region: {REGION}, not nothing"),
        (3, '    region: "a\\nb"', f"managers[0].region: {REGION}, not 'a\\nb'"),
        (3, f"    region: {'a' * 65}", f"managers[0].region: {REGION}, not '{'a' * 60}...'"),
        (4, "    lat: north", f"managers[0].lat: {NUMBER}, not 'north'"),
        (4, "    lat: '38.13'", f"managers[0].lat: {NUMBER}, without quotes"),
        (4, "    lat: .nan", f"managers[0].lat: {NUMBER}, not '.nan'"),
        (4, "    lat: -.inf", f"managers[0].lat: {NUMBER}, not '-.inf'"),
        (4, "    lat: true", f"managers[0].lat: {NUMBER}, not 'true'"),
        (4, "    lat: 90.01", f"managers[0].lat: {NUMBER}, not '90.01'"),
        (4, "    lat: -91", f"managers[0].lat: {NUMBER}, not '-91'"),
        (4, "    lat: 38,13", f"managers[0].lat: {NUMBER}, not '38,13'"),
        (4, "    lat: 38:13", f"managers[0].lat: {NUMBER}, not '38:13'"),
        (4, "    lat: {}", f"managers[0].lat: {NUMBER}, not an empty mapping"),
        (5, "    lng: 180.5", "managers[0].lng: must be a number from -180 to 180, not '180.5'"),
        (6, "    area_codes: 200-299", f"managers[0].area_codes: {AREA_CODES}, not '200-299'"),
        (6, "    area_codes: []", f"managers[0].area_codes: {AREA_CODES}, not an empty list"),
        (6, "    area_codes: {200: 299}", f"managers[0].area_codes: {AREA_CODES}, not a mapping"),
        (6, "    area_codes: [200, 99]", f"managers[0].area_codes[1]: {AREA_CODE}, not '99'"),
        (6, "    area_codes: [900-1000]", f"managers[0].area_codes[0]: {AREA_CODE}, not '900-1000'"),
        (6, "    area_codes: [299-200]", f"managers[0].area_codes[0]: {AREA_CODE}, not '299-200'"),
        (6, "    area_codes: [0200]", f"managers[0].area_codes[0]: {AREA_CODE}, not '0200'"),
        (6, "    area_codes: [2e2]", f"managers[0].area_codes[0]: {AREA_CODE}, not '2e2'"),
        (6, "    area_codes: [[200]]", f"managers[0].area_codes[0]: {AREA_CODE}, not a list"),
        (7, "    url: us-east-1.app.local", f"managers[0].url: {URL}, not 'us-east-1.app.local'"),
        (7, "    url: ftp://a.local", f"managers[0].url: {URL}, not 'ftp://a.local'"),
        (7, "    url: http://a.local/", f"managers[0].url: {URL}, not 'http://a.local/'"),
        (7, "    url: http://ann@a.local", f"managers[0].url: {URL}, not 'http://ann@a.local'"),
        (7, "    url: http://a.local:0", f"managers[0].url: {URL}, not 'http://a.local:0'"),
        (7, "    url: http://a.local:65536", f"managers[0].url: {URL}, not 'http://a.local:65536'"),
        (7, "    url: http://[::g]:80", f"managers[0].url: {URL}, not 'http://[::g]:80'"),
        (7, "    url: http://[:::]:80", f"managers[0].url: {URL}, not 'http://[:::]:80'"),
        (8, "    internal_url: http://", f"managers[0].internal_url: {URL}, not 'http://'"),
        (8, "    colour: red", f"managers[0]: has no field 'colour'; write {FIELDS}"),
        (8, "    <<: {}", f"managers[0]: has no field '<<'; write {FIELDS}"),
        (8, "    [a, b]: c", f"managers[0]: has no field 'a list or mapping as key'; write {FIELDS}"),
        (8, "    lat: 38.13", "managers[0].lat: is there twice, first on line 4; keep one"),
        (
            9,
            "  - hostname: us-east-1.app.local",
            "managers[1].hostname: is managers[0].hostname (line 2) too; give each manager a name of its own",
        ),
        (
            13,
            "    area_codes: [400-449, 290-310]",
            "managers[1].area_codes[1]: holds 290, which managers[0].area_codes[0] (line 6) holds already; "
            "write codes that are free",
        ),
        (
            13,
            "    area_codes: [400-449, 449]",
            "managers[1].area_codes[1]: holds 449, which managers[1].area_codes[0] (line 13) holds already; "
            "write codes that are free",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_file_line_and_field(
    tmp_path: Path, line: int, text: str, sentence: str
) -> None:
    assert mistake_in(tmp_path, with_line(line, text)) == f"managers.yaml:{line}: {sentence}."


@pytest.mark.parametrize(
    ("line", "key", "rule"),
    [
        (3, "region", REGION),
        (4, "lat", NUMBER),
        (5, "lng", "must be a number from -180 to 180"),
        (6, "area_codes", AREA_CODES),
    ],
)
def test_a_missing_field_is_named_with_what_it_must_be(tmp_path: Path, line: int, key: str, rule: str) -> None:
    sentence = f"managers.yaml:2: managers[0].{key}: is missing; it {rule}."
    assert mistake_in(tmp_path, with_line(line, "")) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", f"1: managers: is missing; it {MANAGERS}"),
        ("# nothing yet\n", f"1: managers: is missing; it {MANAGERS}"),
        ("{}", f"1: managers: is missing; it {MANAGERS}"),
        ("- a\n", "1: must be a mapping with the one key managers, not a list"),
        ("managers", "1: must be a mapping with the one key managers, not 'managers'"),
        ("managers:\n", f"1: managers: {MANAGERS}, not nothing"),
        ("managers: []", f"1: managers: {MANAGERS}, not an empty list"),
        ("managers: {a: b}", f"1: managers: {MANAGERS}, not a mapping"),
        ("managers:\n  - a", "2: managers[0]: must be a mapping with the fields of one manager, not 'a'"),
        ("managers: &m [*m]", "1: managers[0]: must be a mapping with the fields of one manager, not a list"),
        ("manager: []", "1: has no field 'manager'; write managers"),
        ("managers: [a]\nmanagers: [b]", "2: managers: is there twice, first on line 1; keep one"),
        ("managers: [" + "{}," * 901 + "]", f"1: managers: {MANAGERS}, not 901 of them"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    assert mistake_in(tmp_path, text) == f"managers.yaml:{sentence}."


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("managers:\n  - hostname: a: b\n", 2, "mapping values are not allowed here"),
        ("managers:\n\t- a\n", 2, "found character '\\t' that cannot start any token"),
        ("managers: [\n", 2, "expected the node content, but found '<stream end>'"),
        ("managers: *nobody\n", 1, "found undefined alias 'nobody'"),
        ("a\n---\nb\n", 2, "but found another document"),
        ("a: 1\nb: \x00\n", 2, "a character that has no place in a text file"),
        ('a: "\\UFFFFFFFF"\n', 1, "a number in an escape or directive is too large"),
    ],
)
def test_broken_yaml_is_refused_with_the_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    advice = "check the indentation, colons and quotes"
    assert mistake_in(tmp_path, text) == f"managers.yaml:{line}: isn't YAML ({problem}); {advice}."


def test_text_that_is_not_utf_8_is_refused_with_the_line(tmp_path: Path) -> None:
    sentence = "managers.yaml:2: isn't UTF-8 text; save the file as UTF-8."
    assert mistake_in(tmp_path, b"managers:\n  - region: M\xfcnchen\n") == sentence


def test_a_byte_order_mark_is_forgiven(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf" + TWO.encode()) == read(tmp_path, TWO)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused(tmp_path: Path, opening: str) -> None:
    sentence = "managers.yaml: nests too deeply; write a list of managers and their fields."
    assert mistake_in(tmp_path, opening * 5000) == sentence


def test_a_file_over_the_bound_is_refused(tmp_path: Path) -> None:
    sentence = "managers.yaml: is over 1048576 bytes; write a shorter roster."
    assert mistake_in(tmp_path, TWO + "#" * MAX_FILE_BYTES) == sentence


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(RosterError) as caught:
        read_roster("/nowhere/managers.yaml")
    reason = "can't be read (No such file or directory); name a roster file that is there"
    assert str(caught.value) == f"/nowhere/managers.yaml: {reason}."


def test_a_folder_is_no_roster(tmp_path: Path) -> None:
    with pytest.raises(RosterError, match=r"can't be read \(Is a directory\)"):
        read_roster(tmp_path)


MARKS = st.sampled_from(":-[]{},'\"#|>?&*!%\\\t\n\x85\ud83d")
WORDS = st.sampled_from(["managers", "hostname", "lat", "area_codes", "200-299", "1.5", ".nan", "yes", "null"])
SIGNS = st.sampled_from([": ", "- ", "\n  ", "\n    ", "&a ", "*a", "!!str", "!x ", "%YAML 1.1", "---", "<<", "\\U"])
YAMLISH = st.lists(MARKS | WORDS | SIGNS | st.text(max_size=3), max_size=40).map("".join)


@st.composite
def damaged_rosters(draw: st.DrawFn) -> str:
    start = draw(st.integers(0, len(TWO)))
    end = draw(st.integers(start, min(len(TWO), start + 30)))
    return TWO[:start] + draw(YAMLISH) + TWO[end:]


@given(text=YAMLISH | damaged_rosters() | st.text())
def test_any_text_is_a_roster_or_one_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        roster = read(folder, text.encode("utf-8", "surrogatepass"))
    except RosterError as error:
        sentence = str(error)
        assert sentence.startswith(f"{folder}/managers.yaml:")
        assert sentence.endswith(".")
        assert sentence.isprintable()
    else:
        assert roster.managers


@given(content=st.binary())
def test_any_bytes_are_a_roster_or_one_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    with pytest.raises(RosterError):
        read(tmp_path_factory.getbasetemp(), content)
