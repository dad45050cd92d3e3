"""The cache of models: only whole and right files, from whatever source, and nothing twice."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from realtime_core.errors import InvalidRequest, RealtimeException, Unavailable
from realtime_local import fetch, index, models, store
from realtime_local.fetch import Step, install
from realtime_local.models import FILES, SETS, Member, ModelFile, Split, Wheel
from realtime_local.split import split_voice
from realtime_local.staging import staging

EAR, MIND, BIG = b"an ear" * 1_000, b"a mind" * 2_000, b"0123456789" * 5_000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel_file(folder: Path, name: str, members: dict[str, bytes]) -> Wheel:
    """Make a wheel that pip takes for one, and give what is known of it."""
    dist = f"{name}-1.0.dist-info"
    file = folder / f"{name}-1.0-py3-none-any.whl"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        for path, data in members.items():
            archive.writestr(path, data)
        archive.writestr(f"{dist}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{dist}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{dist}/RECORD", "")
    data = file.read_bytes()
    return Wheel(f"{name}==1.0", len(data), sha256(data))


def model_file(name: str, data: bytes, *members: Member, url: str = "") -> ModelFile:
    return ModelFile(
        name=name,
        part="mind",
        bytes=len(data),
        sha256=sha256(data),
        licence="MIT",
        source="a test",
        url=url or f"https://models.invalid/{name}",
        members=members,
    )


class World:
    """A catalogue of three small files in four wheels, and an empty cache."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache, self.wheels = root / "cache", root / "wheels"
        self._monkeypatch = monkeypatch
        two = wheel_file(self.wheels, "two", {"a/ear.bin": EAR, "a/mind.bin": MIND, "x.py": b"1/0"})
        parts = [
            wheel_file(self.wheels, f"part{at}", {"d/part.bin": BIG[at * 20_000 :][:20_000]})
            for at in range(3)
        ]
        self.ear = model_file("ear.bin", EAR, Member(two, "a/ear.bin"))
        self.mind = model_file("mind.bin", MIND, Member(two, "a/mind.bin"))
        self.big = model_file("big.bin", BIG, *(Member(part, "d/part.bin") for part in parts))
        monkeypatch.setenv(store.ENVIRONMENT, str(self.cache))
        self.know(self.ear, self.mind, self.big)

    def know(self, *files: ModelFile, splits: tuple[Split, ...] = ()) -> None:
        """Have these files be the catalogue."""
        names = tuple(file.name for file in files)
        self._monkeypatch.setattr(store, "_KNOWN", {file.name: file for file in files})
        self._monkeypatch.setattr(store, "SETS", {"small": names})
        self._monkeypatch.setattr(store, "SPLITS", splits)

    def left(self) -> list[str]:
        """Give what lies in the cache, besides the lock."""
        files = (file for file in self.cache.rglob("*") if file.is_file())
        return sorted(file.name for file in files if file.name != "lock")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def states() -> list[str]:
    return [entry.state for entry in store.status()]


# --- the catalogue --------------------------------------------------------------------------------


def test_the_catalogue_is_whole() -> None:
    names = [file.name for file in FILES]
    assert len(set(names)) == len(names)
    assert set(SETS["small"]) < set(SETS["better"]) == set(names)
    for file in FILES:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.url.startswith("https://")
        assert file.licence
        assert file.source
        assert file.bytes > 0
        assert file.members
        for member in file.members:
            assert re.fullmatch(r"[0-9a-f]{64}", member.wheel.sha256)
            assert "==" in member.wheel.requirement
    assert all(split.voice in names for split in models.SPLITS)


def test_the_cache_is_where_the_variable_says_else_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(store.ENVIRONMENT, str(tmp_path / "mine"))
    assert store.cache() == tmp_path / "mine"
    monkeypatch.delenv(store.ENVIRONMENT)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store.cache() == tmp_path / "realtime-core" / "models"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert store.cache() == Path.home() / "Library" / "Caches" / "realtime-core" / "models"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert store.cache() == tmp_path / "local" / "realtime-core" / "models"


def test_an_unknown_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RealtimeException, match="small, better") as raised:
        install("bigger")
    assert isinstance(raised.value.error, InvalidRequest)


# --- installing from a folder ---------------------------------------------------------------------


def test_wheels_in_a_folder_are_unpacked_and_nothing_else_of_them(world: World) -> None:
    steps = list[Step]()
    assert states() == ["missing", "missing", "missing"]
    install(source=world.wheels, progress=steps.append)
    assert states() == ["ok", "ok", "ok"]
    assert store.verified("ear.bin").read_bytes() == EAR
    assert store.verified("big.bin").read_bytes() == BIG
    assert world.left() == ["big.bin", "ear.bin", "mind.bin"]
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == steps[-1].total == len(EAR) + len(MIND) + len(BIG)


def test_a_second_installation_needs_no_source_at_all(world: World) -> None:
    install(source=world.wheels)
    before = {file: file.stat().st_mtime_ns for file in world.cache.rglob("*.bin")}
    steps = list[Step]()
    install(source=Path("/nowhere/at/all"), progress=steps.append)
    assert steps == []
    assert {file: file.stat().st_mtime_ns for file in world.cache.rglob("*.bin")} == before


def test_plain_files_and_a_copied_cache_are_sources_too(world: World, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for file, data in ((world.ear, EAR), (world.mind, MIND), (world.big, BIG)):
        (plain / file.name).write_bytes(data)
    install(source=plain)
    copied = tmp_path / "copied"
    world.cache.rename(copied)
    assert states() == ["missing", "missing", "missing"]
    install(source=copied)
    assert states() == ["ok", "ok", "ok"]


def test_only_what_is_wrong_is_replaced(world: World) -> None:
    install(source=world.wheels)
    mind = store.path("mind.bin")
    mind.write_bytes(MIND[:-1] + b"?")
    kept = store.path("ear.bin").stat().st_mtime_ns
    assert states() == ["ok", "wrong", "ok"]
    install(source=world.wheels)
    assert mind.read_bytes() == MIND
    assert store.path("ear.bin").stat().st_mtime_ns == kept


def changed(world: World) -> None:
    wheel_file(world.wheels, "two", {"a/ear.bin": EAR, "a/mind.bin": MIND[:-1] + b"?"})


def shorter(world: World) -> None:
    wheel_file(world.wheels, "two", {"a/ear.bin": EAR, "a/mind.bin": MIND[:-1]})


def longer(world: World) -> None:
    wheel_file(world.wheels, "two", {"a/ear.bin": EAR, "a/mind.bin": MIND * 100})


def without_member(world: World) -> None:
    wheel_file(world.wheels, "two", {"a/ear.bin": EAR})


def cut_off(world: World) -> None:
    wheel = next(world.wheels.glob("part2-*"))
    wheel.write_bytes(wheel.read_bytes()[:-3_000])


@pytest.mark.parametrize(
    ("spoil", "left"),
    [
        (changed, ["ear.bin"]),
        (shorter, ["ear.bin"]),
        (longer, ["ear.bin"]),
        (without_member, ["ear.bin"]),
        (cut_off, ["ear.bin", "mind.bin"]),
    ],
)
def test_a_broken_source_leaves_what_was_finished_and_no_part(
    world: World, spoil: Callable[[World], None], left: list[str]
) -> None:
    spoil(world)
    with pytest.raises(RealtimeException) as raised:
        install(source=world.wheels)
    assert isinstance(raised.value.error, InvalidRequest)
    assert raised.value.error.code == "model_wrong"
    assert raised.value.error.fix
    assert world.left() == left


def test_a_folder_that_lacks_a_file_is_told_which_and_where_it_is_had(world: World) -> None:
    next(world.wheels.glob("part1-*")).unlink()
    with pytest.raises(RealtimeException) as raised:
        install(source=world.wheels)
    said = str(raised.value)
    assert "big.bin" in said
    assert "part1==1.0" in said
    assert "https://models.invalid/big.bin" in said
    with pytest.raises(RealtimeException, match="no folder"):
        install(source=world.wheels / "deeper")


def test_a_cache_that_cannot_be_written_is_named(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv(store.ENVIRONMENT, str(tmp_path / "file" / "cache"))
    with pytest.raises(RealtimeException, match=store.ENVIRONMENT):
        install(source=world.wheels)


# --- stopping and taking turns --------------------------------------------------------------------


def test_a_stopped_installation_goes_on_where_it_was(world: World) -> None:
    def stop(step: Step) -> None:
        if step.label == "mind.bin":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        install(source=world.wheels, progress=stop)
    assert world.left() == ["ear.bin"]
    labels = list[str]()
    install(source=world.wheels, progress=lambda step: labels.append(step.label))
    assert "ear.bin" not in labels
    assert states() == ["ok", "ok", "ok"]


def test_what_a_killed_installation_left_is_swept_away(world: World) -> None:
    rest = world.cache / "unfinished" / "wheels"
    rest.mkdir(parents=True)
    (rest / "half.whl").write_bytes(b"half")
    install(source=world.wheels)
    assert world.left() == ["big.bin", "ear.bin", "mind.bin"]


def test_many_installations_at_once_take_turns_and_copy_once(world: World) -> None:
    together = threading.Barrier(4)
    copied, failures = list[str](), list[BaseException]()

    def run() -> None:
        together.wait()
        try:
            install(source=world.wheels, progress=lambda step: copied.append(step.label))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert states() == ["ok", "ok", "ok"]
    done = [label for label in copied if not label.startswith("waiting")]
    assert sorted(set(done)) == ["big.bin", "ear.bin", "mind.bin"]
    assert done.count("big.bin") == 1


HOLDER = """
import sys
from pathlib import Path
from realtime_local.staging import staging
with staging(Path(sys.argv[1]), waiting=lambda: None) as room:
    (room / "mine").write_bytes(b"mine")
    print("held", flush=True)
    sys.stdin.read()
    print((room / "mine").read_bytes().decode(), flush=True)
"""


def test_another_process_is_waited_for(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        waited = list[bool]()

        def waiting() -> None:
            assert holder.stdin is not None
            waited.append(True)
            holder.stdin.close()

        with staging(tmp_path, waiting=waiting) as room:
            assert waited
            assert list(room.iterdir()) == []
        assert holder.stdout.read() == b"mine\n"


# --- before every load ----------------------------------------------------------------------------


def test_a_missing_file_says_what_to_type(world: World) -> None:
    with pytest.raises(RealtimeException, match="`realtime models install`") as raised:
        store.verified("mind.bin")
    assert raised.value.error.code == "model_missing"


@pytest.mark.parametrize("data", [MIND[:-1] + b"?", MIND[:-1], b""])
def test_a_wrong_file_is_never_given_out(world: World, data: bytes) -> None:
    install(source=world.wheels)
    store.verified("mind.bin")
    store.path("mind.bin").write_bytes(data)
    with pytest.raises(RealtimeException, match="`realtime models install`") as raised:
        store.verified("mind.bin")
    assert raised.value.error.code == "model_wrong"
    quick = next(entry for entry in store.status(hashes=False) if entry.name == "mind.bin")
    assert quick.state == ("ok" if len(data) == len(MIND) else "wrong")


def test_a_file_of_the_better_set_names_its_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(store.ENVIRONMENT, str(tmp_path))
    with pytest.raises(RealtimeException, match="`realtime models install better`"):
        store.verified(models.BETTER_MIND)
    with pytest.raises(RealtimeException, match="`realtime models install`"):
        store.verified(models.SPLITS[0].front)


# --- the cut voice --------------------------------------------------------------------------------


@pytest.fixture
def voiced(world: World, tmp_path: Path) -> Split:
    """Have the catalogue be a voice that doubles its input, then adds one to it."""
    onnx = pytest.importorskip("onnx")
    make: ModuleType = onnx.helper
    value = partial(make.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT, shape=[1])
    inputs = [value(name) for name in ("input", "input_lengths", "scales")]
    nodes = [
        make.make_node("Add", ["input", "input_lengths"], ["sum"]),
        make.make_node("Mul", ["sum", "scales"], ["edge"]),
        make.make_node("Neg", ["edge"], ["output"]),
    ]
    graph = make.make_graph(nodes, "voice", inputs, [value("output")], value_info=[value("edge")])
    data = make.make_model(graph).SerializeToString()
    world.wheels.joinpath("voice.onnx").write_bytes(data)
    split = Split(voice="voice.onnx", edge="edge", front="front.onnx", decoder="decoder.onnx")
    world.know(model_file("voice.onnx", data), splits=(split,))
    return split


def test_a_voice_is_cut_at_install_and_its_halves_are_checked(world: World, voiced: Split) -> None:
    install(source=world.wheels)
    assert states() == ["ok", "ok", "ok"]
    assert store.verified(voiced.front).parent == store.path(voiced.voice).parent
    store.path(voiced.decoder).write_bytes(b"not it")
    with pytest.raises(RealtimeException) as raised:
        store.verified(voiced.decoder)
    assert raised.value.error.code == "model_wrong"
    install(source=Path("/nowhere"))  # what is made here needs no source
    assert states() == ["ok", "ok", "ok"]
    store.record_of(store.path(voiced.front)).unlink()
    assert states() == ["ok", "wrong", "ok"]


def test_cutting_a_voice_needs_a_package_and_says_so(
    world: World, voiced: Split, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(source=world.wheels)
    monkeypatch.setitem(sys.modules, "onnx.utils", None)
    with pytest.raises(RealtimeException, match=r"pip install 'realtime-core\[local\]'"):
        split_voice(voiced, tmp_path)


# --- the package index ----------------------------------------------------------------------------


@pytest.fixture
def shelf(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have pip find the wheels of the world, and nothing else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(world.wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return world.wheels


def test_the_package_index_is_asked_for_pinned_wheels(world: World, shelf: Path) -> None:
    steps = list[Step]()
    install(progress=steps.append)
    assert states() == ["ok", "ok", "ok"]
    assert world.left() == ["big.bin", "ear.bin", "mind.bin"]
    assert steps[-1].done == steps[-1].total
    assert [step.done for step in steps] == sorted(step.done for step in steps)


def test_other_bytes_from_the_index_are_refused(world: World, shelf: Path) -> None:
    changed(world)
    with pytest.raises(RealtimeException, match="gave another two") as raised:
        install()
    assert isinstance(raised.value.error, InvalidRequest)
    assert world.left() == []


def test_a_silent_index_is_unavailable(world: World, shelf: Path) -> None:
    shutil.rmtree(shelf)
    with pytest.raises(RealtimeException, match="could not download two") as raised:
        install()
    assert isinstance(raised.value.error, Unavailable)
    assert world.left() == []


def nothing(name: str) -> None:
    del name


def test_a_python_without_pip_says_how_to_get_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    with pytest.raises(RealtimeException, match="ensurepip"):
        install()


def test_leaving_a_download_ends_it(world: World, shelf: Path, tmp_path: Path) -> None:
    looks = index.download(world.ear.members[0].wheel, tmp_path)
    next(looks)
    looks.close()
    assert list(looks) == []


# --- the makers' own addresses --------------------------------------------------------------------


@contextmanager
def served(answers: dict[str, tuple[bytes, int]]) -> Generator[str]:
    """Serve these bytes, announcing so many of them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data, announced = answers.get(self.path, (b"", -1))
            self.send_response(200 if announced >= 0 else 404)
            self.send_header("Content-Length", str(max(announced, 0)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_official_addresses_are_used_when_asked_for(world: World) -> None:
    with served({"/mind.bin": (MIND, len(MIND))}) as address:
        world.know(model_file("mind.bin", MIND, url=f"{address}/mind.bin"))
        steps = list[Step]()
        install(source="official", progress=steps.append)
    assert store.verified("mind.bin").read_bytes() == MIND
    assert steps[-1] == Step("mind.bin", len(MIND), len(MIND))


@pytest.mark.parametrize(
    ("data", "announced", "fault"),
    [
        (MIND[:100], len(MIND), InvalidRequest),
        (MIND[:-1] + b"?", len(MIND), InvalidRequest),
        (MIND * 3, len(MIND) * 3, InvalidRequest),
        (b"", -1, Unavailable),
    ],
)
def test_a_bad_official_download_leaves_nothing(
    world: World, data: bytes, announced: int, fault: type[Exception]
) -> None:
    with served({"/mind.bin": (data, announced)}) as address:
        world.know(model_file("mind.bin", MIND, url=f"{address}/mind.bin"))
        with pytest.raises(RealtimeException) as raised:
            install(source="official")
    assert isinstance(raised.value.error, fault)
    assert world.left() == []


def test_an_address_that_nobody_serves_is_unavailable(world: World) -> None:
    with served({}) as address:
        pass
    world.know(model_file("mind.bin", MIND, url=f"{address}/mind.bin"))
    with pytest.raises(RealtimeException, match="could not be downloaded") as raised:
        install(source="official")
    assert isinstance(raised.value.error, Unavailable)


# --- the real files -------------------------------------------------------------------------------


@pytest.mark.models
def test_the_small_set_is_installed_and_right() -> None:
    assert {entry.state for entry in store.status("small")} == {"ok"}
    assert fetch.install("small", source=Path("/nowhere"))
