"""Environments tell where things are, or what is wrong with their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.errors import MillraceError
from millrace.environment import load_environment
from millrace.home import Home
from millrace.stack.private_file import write_private
from millrace.stack.settings import save_settings

LOCAL = 'platform = "local"\n[lake]\ncontainer = "lake"\npath = "millrace"\n'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    save_settings(home, "kafka", port=9092)
    save_settings(home, "azurite", port=10000)
    write_private(home.secrets / "azurite.key", "a2V5\n")
    return home


def test_local_is_the_default_and_follows_the_stack(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_ENVIRONMENT", raising=False)
    environment = load_environment(home=home)
    assert (environment.name, environment.platform) == ("local", "local")
    assert environment.kafka_bootstrap == "127.0.0.1:9092"
    assert environment.lake == "abfs://lake@devstoreaccount1.dfs.core.windows.net/millrace"
    assert environment.storage.blob_endpoint == "http://127.0.0.1:10000/devstoreaccount1"


def test_the_key_reaches_hadoop_and_delta(home: Home) -> None:
    environment = load_environment("local", home=home)
    hadoop = environment.hadoop_options()
    assert hadoop["fs.azure.account.key.devstoreaccount1.dfs.core.windows.net"] == "a2V5"
    assert hadoop["fs.azure.abfs.endpoint"] == "127.0.0.1:10000"
    delta = environment.delta_options()
    assert delta["azure_storage_account_key"] == "a2V5"
    assert delta["allow_http"] == "true"
    assert "azure_storage_use_emulator" not in delta


def test_the_variable_chooses_and_an_unknown_name_lists_the_known(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_ENVIRONMENT", "prodution")
    with pytest.raises(MillraceError, match=r"environment 'prodution'.*the environments are: .*local"):
        load_environment(home=home)


def test_before_the_first_start_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(MillraceError, match=r"never started; run `millrace up`"):
        load_environment("local", home=Home(tmp_path))


def test_a_lost_key_is_named(home: Home) -> None:
    (home.secrets / "azurite.key").unlink()
    with pytest.raises(MillraceError, match=r"account key .*azurite\.key is missing"):
        load_environment("local", home=home).account_key()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (LOCAL.replace('"local"', '"mainframe"'), r"platform is 'mainframe'; use one of: local"),
        (LOCAL.replace('container = "lake"\n', ""), r"lake\.container is None; give it a name"),
        ("platform = local", r"not valid TOML: .*line 1"),
    ],
)
def test_an_unsound_file_is_refused(home: Home, tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "broken.toml").write_text(text)
    with pytest.raises(MillraceError, match=complaint):
        load_environment("broken", home=home, folder=tmp_path)
