"""Shards: what was appended is the stream, across files, kills and full disks."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.shard_writer import ShardWriter, pack
from glassbox.data.shards import Shards
from glassbox.errors import BadInput

documents_of_ids = st.lists(st.lists(st.integers(1, 999), min_size=1, max_size=12), min_size=1, max_size=12)


def writer_for(
    folder: Path, vocabulary_size: int = 1000, end_of_text: int | None = 0, tokens_per_file: int = 7
) -> ShardWriter:
    return ShardWriter(
        folder,
        vocabulary_size=vocabulary_size,
        tokenizer="tales:1",
        end_of_text=end_of_text,
        tokens_per_file=tokens_per_file,
    )


def written(folder: Path, documents: list[list[int]], **settings: int | None) -> Shards:
    with writer_for(folder, **settings) as writer:
        writer.append("train", documents, text_bytes=3 * len(documents))
    return Shards(folder)


@given(documents_of_ids, st.integers(1, 30), st.integers(0, 200), st.integers(0, 200))
def test_several_files_read_as_one_stream(documents: list[list[int]], per_file: int, start: int, stop: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        split = written(Path(name), documents, tokens_per_file=per_file).split("train")
        stream = [token for ids in documents for token in (0, *ids)]
        assert split.tokens[:].tolist() == stream
        assert split.tokens[start:stop].tolist() == stream[start:stop]
        assert len(split.tokens) == split.token_count == len(stream)
        assert split.document_count == len(documents)
        assert split.byte_count == 3 * len(documents)
        assert [stream[begin + 1] for begin in split.document_starts] == [ids[0] for ids in documents]
        assert all(stream[begin] == 0 for begin in split.document_starts)


@pytest.mark.parametrize(("vocabulary_size", "dtype"), [(65_536, "<u2"), (65_537, "<u4")])
def test_files_hold_plain_little_endian_ids_of_the_smallest_type(
    tmp_path: Path, vocabulary_size: int, dtype: str
) -> None:
    top = vocabulary_size - 1
    written(tmp_path, [[top, 1, 2, 3], [4, 5, 6]], vocabulary_size=vocabulary_size)
    assert np.fromfile(tmp_path / "train-00000.bin", dtype).tolist() == [0, top, 1, 2, 3, 0, 4]
    assert np.fromfile(tmp_path / "train-00001.bin", dtype).tolist() == [5, 6]
    assert np.load(tmp_path / "train-documents.npy").tolist() == [0, 5]
    description = json.loads((tmp_path / "shards.json").read_text())
    assert description == {
        "vocabulary_size": vocabulary_size,
        "dtype": "uint16" if dtype == "<u2" else "uint32",
        "tokenizer": "tales:1",
        "end_of_text": 0,
        "splits": {"train": {"tokens": 9, "documents": 2, "bytes": 6, "files": ["train-00000.bin", "train-00001.bin"]}},
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "shards.json",
        "train-00000.bin",
        "train-00001.bin",
        "train-documents.npy",
    ]


def test_without_end_of_text_documents_follow_one_another(tmp_path: Path) -> None:
    split = written(tmp_path, [[1, 2], [3]], end_of_text=None).split("train")
    assert split.tokens[:].tolist() == [1, 2, 3]
    assert split.document_starts.tolist() == [0, 2]


def test_the_stream_is_read_forwards_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="step 1"):
        written(tmp_path, [[1]]).split("train").tokens[::2]


def test_a_split_without_documents_is_empty(tmp_path: Path) -> None:
    split = written(tmp_path, []).split("train")
    assert (len(split.tokens), split.document_starts.tolist(), split.tokens[:5].tolist()) == (0, [], [])


def test_a_document_without_ids_is_refused_and_an_id_outside_the_vocabulary_is_a_fault() -> None:
    with pytest.raises(BadInput, match="no token at all"):
        pack([[1], []], 1, 1000, 0)
    for ids in ([1000], [-1]):
        with pytest.raises(ValueError, match="vocabulary of 1000"):
            pack([ids], 1, 1000, 0)


def test_a_writer_goes_on_after_the_last_commit(tmp_path: Path) -> None:
    documents = [[number] * (number % 5 + 1) for number in range(1, 40)]
    straight = written(tmp_path / "straight", documents)
    rng = random.Random(0)
    done = 0
    while done < len(documents):
        writer = writer_for(tmp_path / "broken")
        assert writer.documents_done("train") == done
        assert writer.text_bytes_done == 3 * done
        committed = min(len(documents), done + rng.randrange(4))
        writer.append("train", documents[done:committed], text_bytes=3 * (committed - done))
        writer.commit()
        writer.append("train", documents[committed : committed + 3], text_bytes=9)  # lost with the "kill"
        for split in writer._writers.values():
            split.close()
        done = committed
    with writer_for(tmp_path / "broken"):
        pass
    for path in (tmp_path / "straight").iterdir():
        assert path.read_bytes() == (tmp_path / "broken" / path.name).read_bytes()
    assert straight.split("train").document_count == len(documents)


def test_what_was_not_committed_is_gone(tmp_path: Path) -> None:
    writer = writer_for(tmp_path)
    writer.append("train", [[1, 2]], text_bytes=2)
    writer.commit()
    writer.append("train", [[3, 4, 5], [6]], text_bytes=4)
    for split in writer._writers.values():
        split.close()  # everything has reached the disk, but progress.json doesn't know of it
    with writer_for(tmp_path):
        pass
    split = Shards(tmp_path).split("train")
    assert split.tokens[:].tolist() == [0, 1, 2]
    assert (split.document_starts.tolist(), split.byte_count) == ([0], 2)


def test_an_exception_leaves_progress_and_no_description(tmp_path: Path) -> None:
    def fail() -> None:
        with writer_for(tmp_path) as writer:
            writer.append("train", [[1]], text_bytes=1)
            writer.commit()
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    with pytest.raises(BadInput, match=r"no finished shards: shards\.json is missing"):
        Shards(tmp_path)
    with writer_for(tmp_path) as writer:
        assert writer.documents_done("train") == 1


KILLED = """
import sys
from pathlib import Path
from glassbox.data.shard_writer import ShardWriter

settings = dict(vocabulary_size=70_000, tokenizer="t:1", end_of_text=0, tokens_per_file=911)
with ShardWriter(Path(sys.argv[1]), **settings) as writer:
    print("ready", flush=True)
    for split, count in (("train", 600), ("validation", 100)):
        for number in range(writer.documents_done(split), count):
            writer.append(split, [[number * 7 % 69_000 + 1] * (number % 50 + 1)], text_bytes=number)
            if number % 3 == 0:
                writer.commit()
"""


def test_killed_at_any_moment_and_begun_again_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    subprocess.run([sys.executable, "-c", KILLED, str(straight)], check=True, stdout=subprocess.DEVNULL)
    rng = random.Random(1)
    kills = 0
    for _ in range(100):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(killed)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.close()
        if process.wait() == 0 or (killed / "shards.json").exists() or kills == 7:
            break
        kills += 1
    if not (killed / "shards.json").exists():
        subprocess.run([sys.executable, "-c", KILLED, str(killed)], check=True, stdout=subprocess.DEVNULL)
    assert kills > 0
    for path in straight.iterdir():
        assert path.read_bytes() == (killed / path.name).read_bytes()


def test_unfinished_shards_of_other_settings_are_not_continued(tmp_path: Path) -> None:
    writer = writer_for(tmp_path)
    writer.append("train", [[1]], text_bytes=1)
    writer.commit()
    with pytest.raises(BadInput, match=r"unfinished shards made with .*1000.*which is not .*2000"):
        writer_for(tmp_path, vocabulary_size=2000)


def test_finished_shards_are_not_written_again(tmp_path: Path) -> None:
    written(tmp_path, [[1]])
    with pytest.raises(BadInput, match="already holds finished shards"):
        writer_for(tmp_path)


def test_progress_that_promises_more_than_the_files_hold_is_damage(tmp_path: Path) -> None:
    writer = writer_for(tmp_path)
    writer.append("train", [[1, 2, 3]], text_bytes=1)
    writer.commit()
    (tmp_path / "train-00000.bin").write_bytes(b"")
    with pytest.raises(BadInput, match=r"train-00000\.bin is shorter than progress\.json says"):
        writer_for(tmp_path)
    (tmp_path / "progress.json").write_text("{")
    with pytest.raises(BadInput, match=r"progress\.json cannot be read"):
        writer_for(tmp_path)


def test_a_disk_that_takes_no_more_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(BadInput, match="is full"), writer_for(tmp_path) as writer:
        writer.append("train", [[1]], text_bytes=1)
        monkeypatch.setattr(os, "fsync", full)
        writer.commit()


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no split test; they have train"):
        written(tmp_path, [[1]]).split("test")


def damage(name: str, content: bytes | None) -> object:
    return pytest.param(name, content, id=f"{name} {'missing' if content is None else content[:8]!r}")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        damage("train-00000.bin", None),
        damage("train-00000.bin", b""),
        damage("train-00000.bin", b"\1"),
        damage("train-00000.bin", b"\1\0" * 6),
        damage("train-00000.bin", b"\xff\xff" * 7),
        damage("train-documents.npy", None),
        damage("train-documents.npy", b""),
        damage("train-documents.npy", b"\x93NUMPY but not really"),
        damage("shards.json", b"{"),
        damage("shards.json", b"\xff"),
        damage("shards.json", b'{"vocabulary_size": 5}'),
    ],
)
def test_damage_is_told_in_one_sentence(tmp_path: Path, name: str, content: bytes | None) -> None:
    written(tmp_path, [[1, 2, 3], [4, 5, 6, 7, 8]])
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=r"are damaged: .*Tokenize the corpus again"):
        Shards(tmp_path).split("train")


@pytest.mark.parametrize("starts", [[0], [1, 4], [0, 99], [0, 0], [[0, 4]], [0.0, 4.0]])
def test_starts_that_cannot_be_are_damage(tmp_path: Path, starts: list[object]) -> None:
    written(tmp_path, [[1, 2, 3], [4, 5, 6, 7, 8]])
    np.save(tmp_path / "train-documents.npy", np.array(starts))
    with pytest.raises(BadInput, match="are damaged: train-documents"):
        Shards(tmp_path).split("train")


def test_a_description_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    written(tmp_path, [[1, 2, 3]])
    description = (tmp_path / "shards.json").read_text()
    (tmp_path.parent / "outside.bin").write_bytes(b"\1\0" * 4)
    (tmp_path / "shards.json").write_text(description.replace("train-00000.bin", "../outside.bin"))
    with pytest.raises(BadInput, match=r"\.\./outside\.bin is missing"):
        Shards(tmp_path).split("train")


def test_of_a_large_file_the_ids_at_both_ends_are_compared_with_the_vocabulary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glassbox.data.shards.TOKENS_CHECKED", 4)
    written(tmp_path, [list(range(1, 20))], tokens_per_file=100)
    path = tmp_path / "train-00000.bin"
    ids = np.fromfile(path, "<u2")
    ids[-1] = 1000
    ids.tofile(path)
    with pytest.raises(BadInput, match=r"train-00000\.bin has id 1,000 in a vocabulary of 1,000"):
        Shards(tmp_path).split("train")
