"""The guide's engine and microgpt.py: the same random numbers, weights, losses and names."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox import microgpt

# Karpathy's names.txt, seed 42: what the algorithm is known to give there.
KNOWN_LOSSES = {1: 3.3660, 2: 3.4243, 3: 3.1778, 4: 3.0664, 5: 3.2209, 1000: 2.6497}
KNOWN_SAMPLES = ["kamon", "ann", "karai", "jaire", "vialan"]

OWN_NAMES = Path(microgpt.__file__).parent / "data" / "sources" / "names.txt"

TRAIN = """
const run = new Run(input);
const before = run.weights.map((weight) => weight.data);
while (run.losses.length < run.steps) run.step();
const samples = run.sample({ count: 20 }).samples.map((sample) => sample.text);
return { before, after: run.weights.map((weight) => weight.data), losses: run.losses, samples };
"""

seeds = st.one_of(st.sampled_from([0, 1, 42, 2**32 - 1, 2**32, 2**53, 2**64, -7]), st.integers(0, 2**200))


# ---- Random numbers -------------------------------------------------------------------------------------------------
@settings(max_examples=40)
@given(seed=seeds)
def test_any_seed_gives_python_s_random_numbers(engine: Callable[..., Any], seed: int):
    python = random.Random(seed)
    program = """
    const random = new PythonRandom(BigInt(input.seed));
    const numbers = Array.from({ length: 700 }, () => random.random()); // more than the memory holds at once
    return [numbers, random.getrandbits(32), random.getrandbits(1), random.getrandbits(0), random.getrandbits(17)];
    """
    expected = [[python.random() for _ in range(700)], *(python.getrandbits(bits) for bits in (32, 1, 0, 17))]
    assert engine(program, seed=str(seed)) == expected


@settings(max_examples=30)
@given(seed=seeds, size=st.integers(0, 300))
def test_any_list_is_shuffled_as_python_shuffles_it(engine: Callable[..., Any], seed: int, size: int):
    program = """
    const list = [...Array(input.size).keys()];
    new PythonRandom(BigInt(input.seed)).shuffle(list);
    return list;
    """
    expected = list(range(size))
    random.Random(seed).shuffle(expected)
    assert engine(program, seed=str(seed), size=size) == expected


@pytest.mark.usefixtures("same_c_library")
@settings(max_examples=30)
@given(seed=seeds)
def test_normal_numbers_are_python_s_to_the_last_bit(engine: Callable[..., Any], seed: int):
    python = random.Random(seed)
    program = """
    const random = new PythonRandom(BigInt(input.seed));
    return Array.from({ length: 501 }, () => random.gauss(0, 0.08));
    """
    assert engine(program, seed=str(seed)) == [python.gauss(0, 0.08) for _ in range(501)]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**64),
    weights=st.lists(st.floats(0, 1e6), min_size=1, max_size=40).filter(lambda weights: sum(weights) > 1e-300),
)
def test_weighted_choices_are_python_s(engine: Callable[..., Any], seed: int, weights: list[float]):
    python = random.Random(seed)
    program = """
    const random = new PythonRandom(BigInt(input.seed));
    return Array.from({ length: 50 }, () => random.choices(input.weights));
    """
    expected = [python.choices(range(len(weights)), weights=weights)[0] for _ in range(50)]
    assert engine(program, seed=str(seed), weights=weights) == expected


def test_a_restored_state_gives_the_same_numbers_again(engine: Callable[..., Any]):
    program = """
    const random = new PythonRandom(42);
    random.gauss(0, 1);
    const state = random.state();
    const draw = () => [random.gauss(0, 1), random.random(), random.gauss(0, 1), random.randbelow(1000)];
    const first = draw();
    for (let i = 0; i < 1000; i++) random.random();
    random.restore(state);
    return [first, draw()];
    """
    first, again = engine(program)
    assert first == again


# ---- The C library's functions --------------------------------------------------------------------------------------
def numbers(seed: int, draw: Callable[[random.Random], float]) -> list[float]:
    generator = random.Random(seed)
    return [draw(generator) for _ in range(20_000)]


@pytest.mark.usefixtures("same_c_library")
@pytest.mark.parametrize(
    ("call", "reference", "arguments"),
    [
        ("libm.log(x)", math.log, numbers(1, lambda generator: 1 - generator.random())),
        ("libm.log(x)", math.log, numbers(2, lambda generator: math.exp(generator.uniform(-300, 300)))),
        ("libm.log(x)", math.log, numbers(3, lambda generator: generator.uniform(0.93, 1.07))),
        ("libm.sin(x)", math.sin, numbers(4, lambda generator: generator.random() * 2 * math.pi)),
        ("libm.cos(x)", math.cos, numbers(5, lambda generator: generator.random() * 2 * math.pi)),
        ("libm.sin(x)", math.sin, numbers(6, lambda generator: generator.gauss(0, 1) * 10 ** generator.uniform(-9, 6))),
        ("libm.cos(x)", math.cos, numbers(7, lambda generator: generator.gauss(0, 1) * 10 ** generator.uniform(-9, 6))),
        ("libm.exp(x)", math.exp, numbers(8, lambda generator: generator.uniform(-500, 500))),
        ("libm.pow(x, 2)", lambda x: x**2, numbers(9, lambda g: g.gauss(0, 1) * 10 ** g.uniform(-12, 3))),
        ("libm.pow(x, 0.5)", lambda x: x**0.5, numbers(10, lambda generator: 10 ** generator.uniform(-24, 6))),
        ("libm.pow(x, -1)", lambda x: x**-1, numbers(11, lambda g: g.choice((-1, 1)) * 10 ** g.uniform(-6, 6))),
        ("libm.pow(x, -2)", lambda x: x**-2, numbers(12, lambda generator: 10 ** generator.uniform(-6, 6))),
        ("libm.pow(x, -0.5)", lambda x: x**-0.5, numbers(13, lambda generator: 10 ** generator.uniform(-6, 6))),
        ("libm.pow(x, -1.5)", lambda x: x**-1.5, numbers(14, lambda generator: 10 ** generator.uniform(-6, 6))),
        ("libm.pow(0.85, x)", lambda x: 0.85**x, [float(number) for number in range(2000)]),
        ("libm.pow(0.99, x)", lambda x: 0.99**x, [float(number) for number in range(2000)]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_its_functions_are_the_c_library_s_to_the_last_bit(
    engine: Callable[..., Any], call: str, reference: Callable[[float], float], arguments: list[float]
):
    found = engine(f"return input.arguments.map((x) => {call});", arguments=arguments)
    different = [(x, y, reference(x)) for x, y in zip(arguments, found, strict=True) if y != reference(x)]
    assert different == []


def test_products_and_sums_in_one_are_rounded_once(engine: Callable[..., Any]):
    generator = random.Random(15)
    triples = []
    for _ in range(20_000):
        a, b = (generator.gauss(0, 1) * 2 ** generator.randint(-30, 30) for _ in range(2))
        near = -a * b * (1 + generator.choice((0, 1e-16, -1e-15, 1e-8, 1, 1e8, 1e17)) * generator.random())
        triples.append((a, b, near if generator.random() < 0.7 else generator.gauss(0, 1)))
    found = engine("return input.triples.map(([a, b, c]) => libm.fma(a, b, c));", triples=triples)
    assert found == [float(Fraction(a) * Fraction(b) + Fraction(c)) for a, b, c in triples]


# ---- Whole runs -----------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.usefixtures("same_c_library")
def test_fifty_steps_on_our_names_are_python_s_to_the_last_bit(
    engine: Callable[..., Any], python_run: Callable[..., Any]
):
    names = microgpt.read_names(OWN_NAMES)
    found, expected = engine(TRAIN, names=names, steps=50), python_run(names, steps=50)
    assert found["before"] == expected.before
    assert found["losses"] == pytest.approx(expected.losses, abs=1e-9)  # what was promised
    assert found["losses"] == expected.losses  # what is so
    assert found["after"] == expected.after
    assert found["samples"] == expected.samples


@pytest.mark.parametrize(
    "sizes",
    [
        {"seed": 7, "steps": 3, "layers": 2, "width": 8, "heads": 2, "context": 5},
        {"seed": 2**40, "steps": 12, "layers": 1, "width": 4, "heads": 4, "context": 1},
        {"seed": 0, "steps": 2, "layers": 3, "width": 6, "heads": 1, "context": 16},
    ],
)
def test_runs_of_other_sizes_and_seeds_equal_python_s(
    engine: Callable[..., Any], python_run: Callable[..., Any], names: list[str], sizes: dict[str, int]
):
    found, expected = engine(TRAIN, names=names, **sizes), python_run(names, **sizes)
    assert found["before"] == pytest.approx(expected.before, rel=1e-14)
    assert found["losses"] == pytest.approx(expected.losses, abs=1e-9)
    assert found["after"] == pytest.approx(expected.after, abs=1e-9)
    assert found["samples"] == expected.samples


def test_names_in_any_script_are_tokenized_in_python_s_order(
    engine: Callable[..., Any], python_run: Callable[..., Any]
):
    names = ["Ωmega", "émile", "李娜", "😀 smile", "ﬁnn", "Zoë"]  # a surrogate pair sorts after U+FB01
    sizes = {"steps": 2, "width": 4, "heads": 2}
    found, expected = engine(TRAIN, names=names, **sizes), python_run(names, **sizes)
    assert found["losses"] == pytest.approx(expected.losses, abs=1e-9)
    assert found["samples"] == expected.samples


@pytest.mark.slow
def test_a_thousand_steps_on_the_well_known_names_give_the_known_run(engine: Callable[..., Any], test_data: Path):
    names = microgpt.read_names(test_data / "names.txt")
    found = engine(TRAIN, names=names, steps=1000)
    assert {step: round(found["losses"][step - 1], 4) for step in KNOWN_LOSSES} == KNOWN_LOSSES
    assert found["samples"][:5] == KNOWN_SAMPLES


# ---- The names in a file --------------------------------------------------------------------------------------------
@settings(max_examples=60)
@given(text=st.text(alphabet="ab é\u00ad\x00\x1c\x1f\x85\xa0\t\n\r\v\f\u2028\u3000\ufeff'-", max_size=30))
def test_a_file_s_names_are_those_that_python_reads(
    engine: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, text: str
):
    file = tmp_path_factory.mktemp("names") / "names.txt"
    file.write_bytes(text.encode())
    try:
        expected = microgpt.read_names(file)
    except ValueError:
        expected = None
    program = """
    try {
      return readNames(input.text);
    } catch (error) {
      if (error instanceof BadInput) return null;
      throw error;
    }
    """
    assert engine(program, text=text) == expected
