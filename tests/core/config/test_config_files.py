"""config.yaml: what is read, what is refused and how the refusal helps."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import Config, Recipe, dump_config, load_config, save_section
from core.errors import BadConfig

SHIPPED = Path(__file__).parents[3] / "config.yaml"


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_shipped_config_says_exactly_the_defaults() -> None:
    assert load_config(SHIPPED) == Config()


def test_shipped_config_describes_every_field_as_the_schema_does() -> None:
    shipped = SHIPPED.read_text(encoding="utf-8")
    assert shipped.endswith(dump_config(Config()))


@given(
    clip=st.floats(0.1, 40.0),
    size=st.one_of(st.integers(32, 4096), st.tuples(st.integers(32, 4096), st.integers(32, 4096))),
    rate=st.floats(1e-12, 1.0),
    name=st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()),
)
@settings(max_examples=12)
def test_dumped_config_reads_back_equal(tmp_path_factory: pytest.TempPathFactory, clip, size, rate, name) -> None:
    config = Config.model_validate(
        {"preprocessing": {"clip_limit": clip, "size": size}, "training": {"learning_rate": rate}, "model": {"name": name}}
    )
    path = tmp_path_factory.mktemp("dump") / "config.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("text", "line", "field", "says"),
    [
        ("training:\n  epochs: 0\n", 2, "training.epochs", "at least 1"),
        ("training:\n  epochs: many\n", 2, "training.epochs", "a whole number"),
        ("training:\n  epoch: 3\n", 2, "training.epoch", "unknown field; allowed here: epochs"),
        ("seed: 1\n", 1, "seed", "unknown field"),
        ("\npreprocessing:\n\n  polarity: maybe\n", 4, "preprocessing.polarity", "one of auto, keep, invert"),
        ("preprocessing:\n  size: [512]\n", 2, "preprocessing.size", "a whole number, at least 32"),
        ("training: {device: gpu}\n", 1, "training.device", "cuda"),
        ("model: resnet50\n", 1, "model", "a section of fields"),
        ("evaluation:\n  target_sensitivity: 90\n", 2, "evaluation.target_sensitivity", "at most 1"),
    ],
)
def test_bad_value_names_line_field_and_what_is_allowed(tmp_path: Path, text: str, line: int, field: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BadConfig) as caught:
        load_config(path)
    assert f"line {line}: {field}:" in str(caught.value)
    assert says in str(caught.value)


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "training:\n  epochs: 0\n  batch_size: -1\n  nope: 1\n")
    with pytest.raises(BadConfig) as caught:
        load_config(path)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "training.epochs",
        "training.batch_size",
        "training.nope",
    ]


@pytest.mark.parametrize("text", ["training: [", "a: b: c", "- 1\n- 2\n", "just text", "\x00"])
def test_text_that_is_not_a_configuration_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadConfig):
        load_config(write(tmp_path, text))


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="no such file"):
        load_config(tmp_path / "nowhere.yaml")


def test_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "")) == Config()


@pytest.mark.parametrize(
    ("override", "section", "field", "value"),
    [
        ("training.epochs=5", "training", "epochs", 5),
        ("training.learning_rate=1e-4", "training", "learning_rate", 1e-4),
        ("preprocessing.size=[512, 256]", "preprocessing", "size", (512, 256)),
        ("preprocessing.clahe=false", "preprocessing", "clahe", False),
        ("model.weights=a folder/w.safetensors", "model", "weights", "a folder/w.safetensors"),
        ("model.options={pad_type: same}", "model", "options", {"pad_type": "same"}),
        ("data.manifest=C:/data/m.csv", "data", "manifest", Path("C:/data/m.csv")),
    ],
)
def test_override_is_typed_as_in_the_file(override: str, section: str, field: str, value: object) -> None:
    assert getattr(getattr(load_config(None, [override]), section), field) == value


@pytest.mark.parametrize("override", ["training.epochs", "=5", "training.epochs=[", "nope.epochs=1", "training.epochs.x=1"])
def test_bad_override_is_refused(override: str) -> None:
    with pytest.raises(BadConfig):
        load_config(None, [override])


def test_mistake_in_an_override_is_not_blamed_on_the_file() -> None:
    with pytest.raises(BadConfig, match=r"^--set: training\.epochs: got 0"):
        load_config(SHIPPED, ["training.epochs=0"])


def test_saving_a_section_keeps_comments_and_the_rest(tmp_path: Path) -> None:
    path = write(tmp_path, "# mine\ntraining:\n  epochs: 3  # short\npreprocessing:\n  clip_limit: 1.5\n")
    save_section(path, "preprocessing", {"clip_limit": 3.0, "size": (320, 160)})
    text = path.read_text(encoding="utf-8")
    assert "# mine" in text
    assert "# short" in text
    assert load_config(path).preprocessing == Recipe(clip_limit=3.0, size=(320, 160))
    assert load_config(path).training.epochs == 3


def test_saving_an_impossible_value_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path, "preprocessing:\n  clip_limit: 1.5\n")
    with pytest.raises(BadConfig):
        save_section(path, "preprocessing", {"clip_limit": -1})
    assert path.read_text(encoding="utf-8") == "preprocessing:\n  clip_limit: 1.5\n"


def test_saving_into_no_file_writes_a_complete_one(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    save_section(path, "preprocessing", {"tile_grid": 12})
    assert load_config(path) == Config(preprocessing=Recipe(tile_grid=12))


@given(st.integers(1, 64), st.integers(1, 64))
def test_recipe_hash_differs_exactly_when_the_recipe_does(first: int, second: int) -> None:
    assert (Recipe(tile_grid=first).hash == Recipe(tile_grid=second).hash) == (first == second)


def test_recipe_hash_is_stable() -> None:
    assert Recipe(size=(512, 320)).hash == Recipe().hash == Recipe.model_validate(Recipe().model_dump(mode="json")).hash


def test_square_size_and_its_pair_are_the_same_shape() -> None:
    assert Recipe(size=300).shape == Recipe(size=(300, 300)).shape == (300, 300)


def test_overrides_of_python_values_say_the_same_as_text(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training:\n  epochs: 7\n  seed: 3\nmodel:\n  options: {width: 4}\n", encoding="utf-8")
    values = {
        "training": {"learning_rate": 1e-5, "batch_size": 4},
        "training.epochs": 2,
        "preprocessing.size": (64, 32),
        "data": {"manifest": tmp_path / "a b.csv"},
        "model.options": {"width": 8},
    }
    texts = [
        "training.learning_rate=1e-5",
        "training.batch_size=4",
        "training.epochs=2",
        "preprocessing.size=[64, 32]",
        f"data.manifest={(tmp_path / 'a b.csv').as_posix()}",
        "model.options={width: 8}",
    ]
    config = load_config(path, values)
    assert config == load_config(path, texts)
    assert (config.training.epochs, config.training.seed) == (2, 3), "what is not named stays as the file has it"
    assert config.model.options == {"width": 8}, "a field that holds a mapping is replaced as a whole"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"training.epochs": -1}, "overrides: training.epochs: got -1; allowed: a whole number, at least 1"),
        ({"training": 5}, "training: got 5; allowed: a section of fields"),
        ({"training": {"epochs": {"a": 1}}}, "overrides: training.epochs: got"),
        ({"epochs": 5}, "overrides: epochs: unknown field"),
        ({"training.epochs.more": 5}, "training.epochs: got"),
    ],
)
def test_a_wrong_override_of_python_is_named_as_such(overrides: dict, words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        load_config(None, overrides)
