"""A published bundle read back, and every way in which one can be wrong."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from builders import model_of, pointer_of, small_draft, small_model, training_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from seals import seal, seal_manifest

from protocol.manifest import FOREST_NAME, MANIFEST_NAME, POINTER_NAME, REPORT_NAME, Pointer
from service.errors import ModelRejected, RejectReason
from service.model.bundle import ModelLimits, load
from service.model.forest_file import DTYPES
from service.model.pointer import read_pointer

FILES = (MANIFEST_NAME, FOREST_NAME, REPORT_NAME)


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    models = tmp_path_factory.mktemp("original")
    small_model(models)
    return models


@pytest.fixture
def models(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "models"))


def bundle_of(models: Path) -> Path:
    return models / pointer_of(models).version


def rejected(models: Path, pointer: Pointer | None = None, **options) -> ModelRejected:
    with pytest.raises(ModelRejected) as caught:
        load(models, pointer or pointer_of(models), **options)
    return caught.value


def edit_manifest(models: Path, path: tuple[str | int, ...], value: object) -> None:
    manifest = json.loads((bundle_of(models) / MANIFEST_NAME).read_bytes())
    place = manifest
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    seal_manifest(models, json.dumps(manifest).encode())


def members_of(models: Path) -> dict[str, np.ndarray]:
    with np.load(bundle_of(models) / FOREST_NAME) as file:
        return dict(file)


def write_members(models: Path, members: dict[str, np.ndarray], **options) -> None:
    file = io.BytesIO()
    np.savez(file, **members, **options)
    (bundle_of(models) / FOREST_NAME).write_bytes(file.getvalue())
    seal(models)


def test_what_was_published_is_what_is_served(models):
    model = model_of(models)
    forest, draft = small_draft(0)
    x, _ = training_rows(0)
    assert model.forest.predict_many(x[:50]).tolist() == forest.predict_many(x[:50]).tolist()
    assert model.reviewed_at == pointer_of(models).reviewed_at
    assert model.manifest.importances == draft.importances
    found = model.probability(x[0])
    assert 0.0 <= found.low <= found.p <= found.high <= 1.0
    assert model.probabilities(x[:3]) == [model.probability(row) for row in x[:3]]


def test_an_explanation_adds_up_to_what_was_served(models):
    model = model_of(models)
    x, _ = training_rows(0)
    for row in x[:20]:
        told, answer = model.explain(row), model.probability(row)
        raw = told.bias + sum(told.contributions.values())
        assert raw == pytest.approx(answer.raw, abs=1e-12)
        assert raw + told.calibration_shift == pytest.approx(answer.p, abs=1e-12)


def test_without_a_pointer_there_is_no_model(tmp_path):
    assert read_pointer(tmp_path) is None
    assert read_pointer(tmp_path / "absent") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"a":' * 10_000,
        b'{"version":"../../etc","manifest_sha256":"%s"}' % (b"0" * 64),
    ],
    ids=["empty", "binary", "null", "list", "no keys", "deep list", "deep map", "path"],
)
def test_an_ill_formed_pointer_is_refused(tmp_path, content):
    (tmp_path / POINTER_NAME).write_bytes(content[: 60 << 10])
    with pytest.raises(ModelRejected) as caught:
        read_pointer(tmp_path)
    assert caught.value.reason is RejectReason.POINTER


@pytest.mark.parametrize("version", ["..", "a/b", "20250915T000000Z-3f9c2a\n", "", "/etc"])
def test_a_version_that_could_lead_elsewhere_is_no_version(models, version):
    content = json.loads((models / POINTER_NAME).read_bytes()) | {"version": version}
    (models / POINTER_NAME).write_text(json.dumps(content))
    with pytest.raises(ModelRejected) as caught:
        read_pointer(models)
    assert caught.value.reason is RejectReason.POINTER


def test_a_pointer_too_large_to_be_one_is_not_read(tmp_path):
    (tmp_path / POINTER_NAME).write_bytes(b" " * (65 << 10))
    with pytest.raises(ModelRejected) as caught:
        read_pointer(tmp_path)
    assert caught.value.reason is RejectReason.TOO_LARGE


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_anywhere_is_refused(models, name):
    path = bundle_of(models) / name
    whole = path.read_bytes()
    for length in sorted({0, 1, len(whole) // 2, len(whole) - 1, *range(0, len(whole), 4096)}):
        path.write_bytes(whole[:length])
        assert rejected(models).reason is RejectReason.DIGEST


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_refused(models, name):
    path = bundle_of(models) / name
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(50):
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        assert rejected(models).reason is RejectReason.DIGEST


@pytest.mark.parametrize("name", FILES)
def test_an_absent_file_a_link_and_a_pipe_are_refused(models, tmp_path, name):
    path = bundle_of(models) / name
    shutil.move(path, tmp_path / "aside")
    assert rejected(models).reason is RejectReason.UNREADABLE
    path.symlink_to(tmp_path / "aside")
    assert "link" in rejected(models).detail
    path.unlink()
    os.mkfifo(path)
    assert rejected(models).reason is RejectReason.UNREADABLE


def test_a_linked_or_absent_directory_is_refused(models, tmp_path):
    bundle = bundle_of(models)
    pointer = pointer_of(models)
    shutil.move(bundle, tmp_path / "aside")
    assert rejected(models, pointer).reason is RejectReason.UNREADABLE
    bundle.symlink_to(tmp_path / "aside")
    assert rejected(models, pointer).reason is RejectReason.UNREADABLE


@pytest.mark.parametrize("name", FILES)
def test_a_file_over_the_limit_is_not_read(models, name):
    os.truncate(bundle_of(models) / name, 1 << 20)
    found = rejected(models, limits=ModelLimits(file_bytes=(1 << 20) - 1))
    assert found.reason is RejectReason.TOO_LARGE


def test_too_many_nodes_are_refused_before_the_arrays_are_read(models):
    assert rejected(models, limits=ModelLimits(nodes=10)).reason is RejectReason.STRUCTURE


def test_a_model_of_other_features_is_refused(models):
    edit_manifest(models, ("fingerprint",), "0" * 16)
    assert rejected(models).reason is RejectReason.FINGERPRINT


WRONG = {
    "an unknown key": (("surprise",), 1),
    "another format": (("format_version",), 2),
    "another version": (("model_version",), "20200101T000000Z-000000"),
    "text for a number": (("created_at",), "today"),
    "no number": (("calibration", "slope"), None),
    "a negative slope": (("calibration", "slope"), -1.0),
    "a falling table": (("calibration", "low"), [0.5] + [0.1] * 40),
    "low above high": (("calibration", "low"), [1.0] * 41),
    "a table cut short": (("calibration", "at"), [0.0, 1.0]),
    "no golden rows": (("golden",), []),
    "a short golden row": (("golden", 0, "features"), [1.0]),
    "a golden probability above one": (("golden", 0, "raw"), 1.5),
    "a feature short": (("feature_names",), ["atr_volatility"]),
    "importances of others": (("importances",), {"volume": 1.0}),
    "falling deciles": (("reference", "probability"), list(range(9, 0, -1))),
    "a file elsewhere": (("files", "../etc.conf"), {"sha256": "0" * 64, "size": 1}),
    "no forest": (("files",), {}),
    "a depth without end": (("forest", "depth"), 10**6),
    "an integer without end": (("forest", "nodes"), 10**400),
}


@pytest.mark.parametrize(("path", "value"), WRONG.values(), ids=WRONG.keys())
def test_a_manifest_out_of_bounds_is_refused(models, path, value):
    edit_manifest(models, path, value)
    assert rejected(models).reason is RejectReason.MANIFEST


def test_a_number_too_large_for_a_float_is_refused(models):
    manifest = (bundle_of(models) / MANIFEST_NAME).read_bytes()
    assert manifest.count(b'"slope":') == 1
    start = manifest.index(b'"slope":') + len(b'"slope":')
    end = manifest.index(b",", start)
    seal_manifest(models, manifest[:start] + b"1e999" + manifest[end:])
    assert rejected(models).reason is RejectReason.MANIFEST


def test_features_in_another_order_are_refused(models):
    manifest = json.loads((bundle_of(models) / MANIFEST_NAME).read_bytes())
    edit_manifest(models, ("feature_names",), manifest["feature_names"][::-1])
    assert rejected(models).reason is RejectReason.FINGERPRINT


def test_arrays_that_changed_places_are_refused(models):
    members = members_of(models)
    members["threshold"], members["probability"] = members["probability"], members["threshold"]
    write_members(models, members)
    assert rejected(models).reason is RejectReason.STRUCTURE


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("left", lambda a: a.astype(np.int64)),
        ("left", lambda a: a.astype(">i4")),
        ("threshold", lambda a: a.astype(object)),
        ("threshold", lambda a: a[:-1]),
        ("threshold", lambda a: a.reshape(1, -1)),
        ("threshold", lambda a: a[0]),
        ("roots", lambda a: np.append(a, a)),
    ],
    ids=["wider", "byte order", "objects", "shorter", "two axes", "no axis", "more roots"],
)
def test_other_dtypes_and_shapes_are_refused(models, name, change):
    members = members_of(models)
    members[name] = change(members[name])
    write_members(models, members)
    assert rejected(models).reason is RejectReason.ARRAYS


def rewrite_zip(models, change) -> None:
    path = bundle_of(models) / FOREST_NAME
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        change(archive, parts)
    seal(models)


def compressed(archive, parts):
    for name, content in parts.items():
        archive.writestr(name, content, zipfile.ZIP_DEFLATED)


def bomb(archive, parts):
    for name in parts:
        archive.writestr(name, bytes(10 << 20), zipfile.ZIP_DEFLATED)


def one_more(archive, parts):
    for name, content in (parts | {"extra.npy": b""}).items():
        archive.writestr(name, content)


def one_less(archive, parts):
    for name in list(parts)[1:]:
        archive.writestr(name, parts[name])


def a_huge_shape(archive, parts):
    for name, content in parts.items():
        header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**15},), }}".ljust(117)
        raw = content[:8] + len(header + "\n").to_bytes(2, "little") + f"{header}\n".encode()
        archive.writestr(name, raw if name == "threshold.npy" else content)


def a_header_of_code(archive, parts):
    for name, content in parts.items():
        header = b"__import__('os').abort()".ljust(117) + b"\n"
        raw = content[:8] + len(header).to_bytes(2, "little") + header
        archive.writestr(name, raw if name == "threshold.npy" else content)


def longer_than_it_says(archive, parts):
    for name, content in parts.items():
        archive.writestr(name, content + bytes(8) if name == "threshold.npy" else content)


@pytest.mark.parametrize(
    "change",
    [compressed, bomb, one_more, one_less, a_huge_shape, a_header_of_code, longer_than_it_says],
)
def test_another_container_is_refused(models, change):
    rewrite_zip(models, change)
    assert rejected(models).reason is RejectReason.ARRAYS


@settings(max_examples=150)
@given(data=st.data())
def test_flipped_bits_behind_true_digests_never_raise_anything_else(original, data):
    """The digests do not protect against whoever can write them."""
    name = data.draw(st.sampled_from([MANIFEST_NAME, FOREST_NAME]))
    pointer = pointer_of(original)
    whole = (original / pointer.version / name).read_bytes()
    flips = data.draw(st.lists(st.integers(0, 8 * len(whole) - 1), min_size=1, max_size=8))
    changed = bytearray(whole)
    for bit in flips:
        changed[bit // 8] ^= 1 << bit % 8
    work = original.parent / "flipped"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(original, work)
    (work / pointer.version / name).write_bytes(changed)
    if name == MANIFEST_NAME:
        seal_manifest(work, bytes(changed))
    else:
        seal(work)
    try:
        model = model_of(work)
    except ModelRejected:
        return
    # What is accepted answers as promised, whatever was flipped.
    for golden in model.manifest.golden:
        assert model.probability(np.array(golden.features)).raw == pytest.approx(golden.raw)


@settings(max_examples=100)
@given(st.binary(max_size=400))
def test_any_bytes_for_an_archive_are_refused(original, content):
    work = original.parent / "garbage"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(original, work)
    (bundle_of(work) / FOREST_NAME).write_bytes(content)
    seal(work)
    assert rejected(work).reason is RejectReason.ARRAYS


def test_a_model_that_answers_otherwise_than_published_is_refused(models):
    edit_manifest(models, ("golden", 5, "served"), 0.123456)
    assert rejected(models).reason is RejectReason.GOLDEN
    assert "golden row 5" in rejected(models).detail


@pytest.mark.parametrize("name", ["raw", "calibrated", "served"])
def test_a_golden_row_is_held_to_nine_digits(models, name):
    published = getattr(model_of(models).manifest.golden[5], name)
    edit_manifest(models, ("golden", 5, name), published + 5e-10)
    assert model_of(models)
    edit_manifest(models, ("golden", 5, name), published + 1e-8)
    assert rejected(models).reason is RejectReason.GOLDEN


def test_exchanged_probabilities_are_caught_by_the_golden_rows(models):
    members = members_of(models)
    members["probability"] = 1.0 - members["probability"]
    write_members(models, members)
    assert rejected(models).reason is RejectReason.GOLDEN


def test_a_model_too_slow_to_be_asked_is_refused(models):
    now = iter(range(10**6))
    found = rejected(models, clock=lambda: float(next(now)))
    assert found.reason is RejectReason.LATENCY


def test_the_file_is_what_numpy_reads_without_pickle(models):
    with np.load(bundle_of(models) / FOREST_NAME, allow_pickle=False) as file:
        assert {name: file[name].dtype.str for name in file} == DTYPES
