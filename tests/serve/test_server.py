"""The supervisor, with a small real HTTP server instead of a model server."""

import fcntl
import importlib.util
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from finehard.errors import FinehardError, UsageError
from finehard.serve import ServeConfig, ensure_server, serve_forever
from finehard.serve.engines import build_engine
from finehard.serve.replica import free_port
from finehard.serve.state import state_folder, try_lock, write_json
from tests.serve.processes import (
    REPOSITORY,
    living,
    mentioning,
    say,
    say_again,
    start_client,
    state_of,
    wait_for,
)

STAND_IN = str(Path(__file__).with_name("stand_in.py"))


def stand_in(*what: str, **fields: object) -> ServeConfig:
    command = (sys.executable, STAND_IN, "{port}", *what)
    values: dict = {"linger_s": 0, "startup_timeout_s": 20, **fields}
    return ServeConfig(engine="command", command=command, **values)


def as_source(config: ServeConfig) -> str:
    fields = "engine='command', linger_s=0, startup_timeout_s=20"
    return f"ServeConfig({fields}, command={config.command!r})"


def supervisor_of(state: dict) -> int:
    return int(state["supervisor"].partition("@")[0])


def test_server_stops_after_the_last_close():
    with ensure_server(stand_in("child")) as server:
        assert say(server).startswith("pid ")
        assert server.model == "stand-in"
        [group] = state_of(server)["engine_groups"]
        assert len(living(group)) == 3  # process guard, engine, the engine's subprocess
    assert server.close(wait_s=20)
    assert living(group) == []
    assert not (server.log.parent / "server.json").exists()


def test_server_runs_until_its_last_client_leaves():
    config = stand_in()
    first = ensure_server(config)
    with ensure_server(stand_in()) as second:
        assert first.base_url == second.base_url
        first.close()
        assert not first.close(wait_s=1)
        assert say(second)


def test_different_configs_have_different_servers():
    with ensure_server(stand_in()) as one, ensure_server(stand_in("child")) as other:
        assert one.base_url != other.base_url


@pytest.mark.parametrize("name", ["SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"])
def test_other_jobs_and_other_gpus_have_servers_of_their_own(name, monkeypatch):
    monkeypatch.setenv(name, "1")
    with ensure_server(stand_in()) as one, ensure_server(stand_in()) as same:
        monkeypatch.setenv(name, "2")
        with ensure_server(stand_in()) as other:
            assert one.base_url == same.base_url != other.base_url


def test_processes_starting_at_once_share_one_server(tmp_path):
    clients = [start_client(as_source(stand_in("slow")), "") for _ in range(4)]
    urls = {client.communicate(timeout=60)[0] for client in clients}
    assert len(urls) == 1 and urls.pop().startswith("http://127.0.0.1:")
    logs = list(tmp_path.rglob("server.log*"))
    starts = sum(log.read_text().count("starting") for log in logs)
    assert starts == 1


def test_no_client_joins_a_stopping_server():
    config = stand_in("deaf", stop_grace_s=2)
    first = ensure_server(config)
    pid = say(first)
    first.close()
    wait_for(lambda: "no client is left" in first.log.read_text())
    with ensure_server(config) as second:
        assert say(second) != pid


def test_killed_engine_restarts_at_the_same_url():
    with ensure_server(stand_in("child")) as server:
        before = say(server)
        state = state_of(server)
        os.kill(int(before.split()[1]), signal.SIGKILL)
        wait_for(lambda: state_of(server)["restarts"] == 1)
        assert say_again(server) != before
        server.check()
        wait_for(lambda: not living(state["engine_groups"][0]))


def test_killed_clients_leave_no_processes(tmp_path):
    clients = [start_client(as_source(stand_in("child"))) for _ in range(2)]
    for client in clients:
        assert client.stdout is not None and client.stdout.readline().startswith("http://")
    assert len(mentioning(STAND_IN)) >= 2
    for client in clients:
        client.kill()
        client.wait()
    wait_for(lambda: not mentioning(f"TMPDIR={tmp_path}"), 20)


def test_client_killed_during_startup_leaves_no_processes(tmp_path):
    client = start_client(as_source(stand_in("slow")))
    wait_for(lambda: any(p.stat().st_size for p in tmp_path.rglob("server.log")))
    client.kill()
    client.wait()
    wait_for(lambda: not mentioning(f"TMPDIR={tmp_path}"), 20)


def test_check_replaces_a_killed_supervisor():
    with ensure_server(stand_in("child")) as server:
        before, state = say(server), state_of(server)
        os.kill(supervisor_of(state), signal.SIGKILL)
        wait_for(lambda: not living(state["engine_groups"][0]))
        server.check()
        assert say(server) != before
        assert server.base_url == state["base_urls"][0]


def test_engine_restarts_after_its_process_guard_is_killed():
    with ensure_server(stand_in("child")) as server:
        before, [group] = say(server), state_of(server)["engine_groups"]
        os.kill(group, signal.SIGKILL)
        wait_for(lambda: state_of(server)["restarts"] == 1)
        assert say_again(server) != before
        assert living(group) == []


def test_repeated_crashes_give_up_with_the_last_lines():
    with ensure_server(stand_in("die-later", max_crashes=2)) as server:
        wait_for((server.log.parent / "failed.json").exists)
        with pytest.raises(FinehardError, match="ended with status 3, 2 times") as caught:
            server.check()
        assert "\n" not in str(caught.value)


def test_failed_start_is_a_one_line_error():
    with pytest.raises(FinehardError, match="this model cannot be loaded") as caught:
        ensure_server(stand_in("die"))
    assert "\n" not in str(caught.value) and "server.log" in str(caught.value)
    with pytest.raises(FinehardError, match="this model cannot be loaded"):
        ensure_server(stand_in("die"))  # tried again: the failure is not remembered


def test_engine_that_never_became_healthy_is_not_restarted(tmp_path):
    with pytest.raises(FinehardError):
        ensure_server(stand_in("die"))
    [log] = tmp_path.rglob("server.log")
    assert log.read_text().count("starting") == 1


def test_occupied_port_is_an_error():
    with ensure_server(stand_in()) as other:
        port = int(other.base_url.split(":")[2].partition("/")[0])
        with pytest.raises(FinehardError, match=f"port {port} is taken"):
            ensure_server(stand_in("child", port=port))


def test_configured_port_is_used():
    port = free_port()
    with ensure_server(stand_in(port=port)) as server:
        assert server.base_url == f"http://127.0.0.1:{port}/v1"
        os.kill(int(say(server).split()[1]), signal.SIGKILL)
        say_again(server)  # old connections do not block its port


def test_files_of_a_killed_supervisor_are_ignored():
    """Joins between another process's taking the lock and its removal of the old files."""
    config = stand_in()
    folder = state_folder(config, build_engine(config))
    stale = {"supervisor": "4194304@1", "base_urls": ["http://127.0.0.1:9/v1"], "model": "m"}
    write_json(folder / "server.json", stale)
    with ThreadPoolExecutor() as pool:
        with open(folder / "supervisor.lock", "ab") as lock:
            assert try_lock(lock.fileno(), fcntl.LOCK_EX)
            joining = pool.submit(ensure_server, config)
            with pytest.raises(TimeoutError):
                joining.result(timeout=1)
        with joining.result(timeout=30) as server:
            assert say(server)


def test_every_waiting_process_gets_the_failure():
    source = as_source(stand_in("die"))
    clients = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from finehard.serve import *\nfrom finehard.errors import FinehardError\n"
                f"try: ensure_server({source})\nexcept FinehardError as e: print('error:', e)",
            ],
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        for _ in range(3)
    ]
    for client in clients:
        assert client.communicate(timeout=60)[0].startswith("error: model server")


def test_server_that_refuses_requests_is_not_healthy():
    with pytest.raises(FinehardError, match="not healthy within 2 s.*no such model"):
        ensure_server(stand_in("refuse", startup_timeout_s=2))


def test_missing_program_is_an_error():
    config = ServeConfig(engine="command", command=("/no/such/program", "{port}"))
    with pytest.raises(FinehardError, match="cannot start /no/such/program"):
        ensure_server(config)


@pytest.mark.slow
def test_unresponsive_engine_is_restarted():
    with ensure_server(stand_in("stuck", unresponsive_s=1)) as server:
        # A health check every 10 s, with a timeout of 10 s.
        wait_for(lambda: "did not respond" in server.log.read_text(), 60)


def test_engine_that_ignores_sigterm_is_killed():
    with ensure_server(stand_in("deaf", stop_grace_s=1)) as server:
        [group] = state_of(server)["engine_groups"]
    assert server.close(wait_s=20)
    assert living(group) == []


def test_env_values_reach_the_engine_but_no_file(tmp_path):
    config = stand_in("secret", env={"SECRET": "swordfish-123"})
    assert "swordfish" not in repr(config)
    with ensure_server(config) as server:
        wait_for(lambda: "the key is ***" in server.log.read_text())
    assert server.close(wait_s=20)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"swordfish" not in path.read_bytes()


def test_replicas_have_different_urls():
    with ensure_server(stand_in(replicas=2)) as server:
        assert len(set(server.base_urls)) == 2
        assert server.base_url == server.base_urls[0]
        assert len(state_of(server)["engine_groups"]) == 2


def test_serve_forever_stops_on_sigterm():
    source = as_source(stand_in())
    script = f"from finehard.serve import *; serve_forever({source})"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    process.terminate()
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and rest.splitlines()[-1] == "stopped"


def test_serve_forever_ends_when_the_server_is_given_up():
    with pytest.raises(FinehardError, match="ended with status 3"):
        serve_forever(stand_in("die-later", max_crashes=1))


def test_folder_writable_by_others_is_refused(tmp_path):
    (tmp_path / f"finehard-{os.getuid()}").mkdir(mode=0o777)
    (tmp_path / f"finehard-{os.getuid()}").chmod(0o777)
    with pytest.raises(FinehardError, match="writable by others"):
        ensure_server(stand_in())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"engine": "vlm", "model": "m"}, "did you mean 'vllm'"),
        ({"engine": "vllm"}, "server.engine.model: empty"),
        ({"engine": "command", "command": ("server",)}, "must contain {port}"),
        ({"engine": "vllm", "model": "m", "command": ("x", "{port}")}, "only engine 'command'"),
        ({"model": "m", "args": "--x"}, "list of words"),
        ({"model": "m", "replicas": 0}, "less than 1"),
    ],
)
def test_invalid_config_is_a_usage_error(fields, message):
    with pytest.raises(UsageError, match=message):
        ServeConfig(**fields)


def test_missing_model_folder_is_an_error_before_the_start():
    with pytest.raises(UsageError, match="no such folder"):
        build_engine(ServeConfig(model="./no/such/model"))


def test_missing_package_names_the_serve_extra(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "fastapi" else find_spec(name)
    )
    config = ServeConfig(engine="transformers", model=str(tmp_path))
    with pytest.raises(UsageError, match=r"needs the package 'fastapi'.*finehard\[serve\]"):
        build_engine(config)
    assert build_engine(replace(config, python="python3")).command[0] == "python3"


def test_changed_model_files_get_another_server(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    config = ServeConfig(engine="transformers", model=str(model))
    engine = build_engine(config)
    first = state_folder(config, engine)
    assert first == state_folder(config, engine)
    (model / "config.json").write_text(json.dumps({"changed": True}))
    assert first != state_folder(config, engine)


def test_auto_is_transformers_without_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    config = ServeConfig(model=str(tmp_path))
    engine = build_engine(config)
    assert engine.name == "transformers"
    named = ServeConfig(engine="transformers", model=str(tmp_path))
    assert state_folder(config, engine) == state_folder(named, build_engine(named))
