from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from posture.config import Canary, Config, load_config, parse_canary, parse_resolver
from posture.errors import ConfigurationError
from posture.inventory.reading import Fault
from posture.policy import DEFAULT
from posture.signatures import Signer
from posture.sshsig import parse_public_key

NOTHING: Mapping[str, str] = {}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKDKKw7gdGDFEDl4sk1OA4A6fwWeM3xkatueQ1WxfkVD"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMKCSpu0s7IrravpGCQDjkxvjCp1PJeJI/ao1ND7YkPz"


def put(folder: Path, text: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "posture.toml"
    path.write_text(text, "utf-8")
    return path


def load(
    cwd: Path, *, config: Path | None = None, inventory: Path | None = None, environ: Mapping[str, str] = NOTHING
) -> Config:
    return load_config(config=config, inventory=inventory, environ=environ, cwd=cwd)


def test_without_a_file_everything_stands_in_the_working_folder(tmp_path: Path) -> None:
    config = load(tmp_path)

    assert config == Config(None, tmp_path / "inventory.toml", tmp_path / "posture.db")
    assert (config.profile, config.policy, config.vantage) == ("standard", DEFAULT, "local")


def test_the_file_is_looked_for_in_the_order_of_the_contract(tmp_path: Path) -> None:
    here, beside, xdg, home = (tmp_path / name for name in ("here", "beside", "xdg", "home"))
    named = put(tmp_path / "named")
    environ = {"XDG_CONFIG_HOME": str(xdg), "HOME": str(home)}
    here.mkdir()

    def found(**options: Path) -> Path | None:
        return load(here, environ=environ, **options).path

    assert found() is None
    put(home / ".config" / "posture")
    assert load(here, environ={"HOME": str(home)}).path == home / ".config" / "posture" / "posture.toml"
    assert found() is None
    in_xdg = put(xdg / "posture")
    assert found() == in_xdg
    in_here = put(here)
    assert found() == in_here
    in_beside = put(beside)
    assert found() == in_here
    assert found(inventory=beside / "inventory.toml") == in_beside
    assert found(inventory=beside / "inventory.toml", config=named) == named
    assert load(here, environ={"POSTURE_CONFIG": str(named)}).path == named


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    path = put(
        tmp_path / "etc",
        f"""\
inventory = "lc/inventory.toml"
db = "/var/lib/posture.db"
key = "k"
ca_file = "ca.pem"
trust_anchor = "anchor.txt"
policy = "strict.toml"
profile = "deep"
vantage = "castries"
resolver = "[2001:db8::53]:5353"
require_signatures = true
all_suites = true
canaries = ["https://www.cert.test/", "tcp://192.0.2.7:22"]
plugins = ["acme"]
trusted_signers = ["ps-finance {KEY}"]
signature_threshold = 2
[endpoints]
relay = "192.0.2.5:25"
""",
    )

    assert load(tmp_path, config=path) == Config(
        path=path,
        inventory=tmp_path / "etc" / "lc" / "inventory.toml",
        db=Path("/var/lib/posture.db"),
        key=tmp_path / "etc" / "k",
        profile="deep",
        policy=str(tmp_path / "etc" / "strict.toml"),
        vantage="castries",
        resolver=("2001:db8::53", 5353),
        ca_file=tmp_path / "etc" / "ca.pem",
        trust_anchor=tmp_path / "etc" / "anchor.txt",
        canaries=(
            Canary("https://www.cert.test/", "https", "www.cert.test", 443),
            Canary("tcp://192.0.2.7:22", "tcp", "192.0.2.7", 22),
        ),
        endpoints={"relay": "192.0.2.5:25"},
        plugins=("acme",),
        require_signatures=True,
        all_suites=True,
        signature_threshold=2,
        trusted_signers=(Signer("ps-finance", parse_public_key(KEY)),),
    )


def test_a_named_inventory_wins_over_the_file(tmp_path: Path) -> None:
    put(tmp_path, 'inventory = "a.toml"\n')

    assert load(tmp_path, inventory=Path("b.toml")).inventory == tmp_path / "b.toml"


def test_the_environment_wins_over_the_file_and_a_flag_over_both(tmp_path: Path) -> None:
    put(tmp_path, 'db = "file.db"\nvantage = "file"\nprofile = "passive"\nresolver = "192.0.2.1"\n')
    environ = {
        "POSTURE_DB": "env.db",
        "POSTURE_VANTAGE": "env",
        "POSTURE_RESOLVER": "192.0.2.2:5300",
        "POSTURE_PROFILE": "",
        "POSTURE_REQUIRE_SIGNATURES": "yes",
        "POSTURE_PLUGINS": "a b",
        "POSTURE_ALL_SUITES": "yes",
        "POSTURE_LAB": "required",
    }

    config = load(tmp_path, environ=environ).overridden(vantage="flag", db=None, resolver="192.0.2.3")

    assert (config.db, config.vantage, config.profile) == (tmp_path / "env.db", "flag", "passive")
    assert config.resolver == ("192.0.2.3", 53)
    assert (config.require_signatures, config.all_suites, config.plugins) == (True, True, ("a", "b"))


def test_overriding_leaves_the_original_alone(tmp_path: Path) -> None:
    config = load(tmp_path)

    assert config.overridden(vantage="x") != config
    assert config.vantage == "local"
    with pytest.raises(TypeError):
        config.overridden(colour="red")
    with pytest.raises(ConfigurationError, match="profile"):
        config.overridden(profile="fast")


@pytest.mark.parametrize(
    ("text", "resolver"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("192.0.2.53:5353", ("192.0.2.53", 5353)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
        ("[2001:db8::53]:54", ("2001:db8::53", 54)),
    ],
)
def test_resolvers_are_addresses_with_or_without_a_port(text: str, resolver: tuple[str, int]) -> None:
    assert parse_resolver(text) == resolver


@pytest.mark.parametrize(
    "text", ["", "dns.example", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536", "fe80::1%eth0", "0x7f000001"]
)
def test_what_is_no_resolver(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Write ADDR"):
        parse_resolver(text)


def test_every_fault_of_the_file_is_told_with_its_line_and_next_step(tmp_path: Path) -> None:
    path = put(tmp_path, 'inventroy = "a.toml"\nprofile = "fast"\nresolver = "dns.example"\nplugins = "acme"\n')

    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path)

    text = str(caught.value)
    assert f"{path}:1: inventroy:" in text
    assert "Did you mean 'inventory'?" in text
    assert all(f"{path}:{line}:" in text for line in (2, 3, 4))
    assert "Choose among passive, standard, deep." in text


def test_a_file_that_is_no_toml_or_is_not_there_is_told(tmp_path: Path) -> None:
    path = put(tmp_path, "db = \n")

    with pytest.raises(ConfigurationError, match=r"posture\.toml:1: is not TOML"):
        load(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path, config=path.with_name("none.toml"))


@pytest.mark.parametrize(
    "environ",
    [
        {"POSTURE_PROFILE": "fast"},
        {"POSTURE_RESOLVER": "dns.example"},
        {"POSTURE_REQUIRE_SIGNATURES": "perhaps"},
        {"POSTURE_CANARIES": "gopher://192.0.2.1"},
        {"POSTURE_TRUSTED_SIGNERS": "ps"},
        {"POSTURE_SIGNATURE_THRESHOLD": "0"},
        {"POSTURE_SIGNATURE_THRESHOLD": "many"},
    ],
)
def test_a_bad_environment_is_a_configuration_error(tmp_path: Path, environ: Mapping[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        load(tmp_path, environ=environ)


@pytest.mark.parametrize(
    ("text", "canary"),
    [
        ("https://www.cert.test/", ("https", "www.cert.test", 443, "/")),
        ("HTTPS://WWW.cert.test:8443/a?b=c", ("https", "www.cert.test", 8443, "/a?b=c")),
        ("http://192.0.2.1", ("http", "192.0.2.1", 80, "/")),
        ("smtp://mx.cert.test", ("smtp", "mx.cert.test", 25, "/")),
        ("dns://192.0.2.53", ("dns", "192.0.2.53", 53, "/")),
        ("dns://[2001:DB8::53]:5353", ("dns", "2001:db8::53", 5353, "/")),
        ("tcp://192.0.2.7:22", ("tcp", "192.0.2.7", 22, "/")),
    ],
)
def test_canaries(text: str, canary: tuple[str, str, int, str]) -> None:
    assert parse_canary(text) == Canary(text, *canary)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a canary"),
        ("www.cert.test", "is not a canary"),
        ("https://user@www.cert.test/", "not a host name"),
        ("https://www.cert.test/a b", "is not a canary"),
        ("ftp://www.cert.test", "no protocol that can be tried"),
        ("htps://www.cert.test", "Did you mean 'https'"),
        ("tcp://192.0.2.7", "no usable port"),
        ("tcp://192.0.2.7:70000", "no usable port"),
        ("https://www.cert.test:0/", "no usable port"),
        ("smtp://mx.cert.test/path", "has a path, which smtp does not know"),
        ("https://localhost/", "one label only"),
        ("https://2130706433/", "read by some programs as an IPv4 address"),
        ("dns://[fe80::1%eth0]", "zone id"),
    ],
)
def test_what_is_no_canary_is_told_why(text: str, why: str) -> None:
    with pytest.raises(Fault) as caught:
        parse_canary(text)

    assert why in caught.value.message
    assert caught.value.next


def test_a_bad_canary_or_signer_is_told_with_its_line(tmp_path: Path) -> None:
    signers = f'trusted_signers = [\n  "ps {KEY}",\n  "cert-head",\n]\nsignature_threshold = 0\n'
    path = put(tmp_path, f'canaries = [\n"https://www.cert.test/",\n"tcp://192.0.2.7",\n]\n{signers}')

    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path)

    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"{path}:{number}" for number in (9, 3, 7)]
    assert "cert-head has no usable key" in lines[2]
    assert 'Write "NAME KEY"' in lines[2]


def test_one_key_under_two_names_would_count_twice(tmp_path: Path) -> None:
    put(tmp_path, f'trusted_signers = ["a {KEY}", "b {OTHER}", "c {KEY} a comment"]\n')

    with pytest.raises(ConfigurationError, match="a and c have the same key"):
        load(tmp_path)


def test_signers_of_the_environment_are_separated_by_semicolons(tmp_path: Path) -> None:
    environ = {"POSTURE_TRUSTED_SIGNERS": f"a {KEY}; b {OTHER} a comment;", "POSTURE_SIGNATURE_THRESHOLD": "2"}
    config = load(tmp_path, environ=environ)

    assert [signer.name for signer in config.trusted_signers] == ["a", "b"]
    assert config.signature_threshold == 2
