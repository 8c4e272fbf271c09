from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from posture.config import Config, load_config, parse_resolver
from posture.errors import ConfigurationError
from posture.policy import DEFAULT

NOTHING: Mapping[str, str] = {}


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
        """\
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
canaries = ["192.0.2.1:443/tcp"]
plugins = ["acme"]
trusted_signers = ["a", "b"]
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
        canaries=("192.0.2.1:443/tcp",),
        endpoints={"relay": "192.0.2.5:25"},
        plugins=("acme",),
        require_signatures=True,
        trusted_signers=("a", "b"),
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
        "POSTURE_LAB": "required",
    }

    config = load(tmp_path, environ=environ).overridden(vantage="flag", db=None, resolver="192.0.2.3")

    assert (config.db, config.vantage, config.profile) == (tmp_path / "env.db", "flag", "passive")
    assert config.resolver == ("192.0.2.3", 53)
    assert (config.require_signatures, config.plugins) == (True, ("a", "b"))


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
    [{"POSTURE_PROFILE": "fast"}, {"POSTURE_RESOLVER": "dns.example"}, {"POSTURE_REQUIRE_SIGNATURES": "perhaps"}],
)
def test_a_bad_environment_is_a_configuration_error(tmp_path: Path, environ: Mapping[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        load(tmp_path, environ=environ)
