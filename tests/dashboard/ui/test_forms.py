"""Forms made from the configuration: every field has a fitting widget, values survive, problems are sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.config import Config
from dashboard.state import preferences
from dashboard.ui import form_widgets, forms


def _whole_form() -> None:
    import streamlit as st

    from core.config import Config
    from dashboard.ui import forms

    sections = ("preprocessing", "augmentation", "model", "training", "evaluation", "data")
    paths = [path for path in forms.all_paths() if path.startswith(tuple(f"{name}." for name in sections))]
    st.session_state["values"] = forms.fields(paths, Config())


def _page_with_switch() -> None:
    import streamlit as st

    from core.config import Config
    from dashboard.ui import forms

    config = st.session_state.get("base", Config())
    if not st.session_state.get("elsewhere", False):
        st.session_state["epochs"] = forms.field("training.epochs", config.training.epochs)


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def form() -> AppTest:
    return AppTest.from_function(_whole_form).run()


def test_an_untouched_form_gives_the_configuration_it_was_made_from(form: AppTest) -> None:
    assert not form.exception
    config, problems = forms.check(form.session_state["values"], Config())
    assert problems == []
    assert config == Config()


@pytest.mark.slow_for("2")
@pytest.mark.parametrize("earlier", [0, 1, 2])
def test_a_browser_that_meets_the_form_in_a_later_run_shows_its_values(form: AppTest, earlier: int) -> None:
    form.number_input(key="training.epochs").set_value(7).run()
    for _ in range(earlier):
        form.run()
    number, switch = form.number_input(key="training.epochs").proto, form.toggle(key="augmentation.horizontal_flip").proto
    assert (number.default, switch.default) == (7, True)
    rate, rule = form.number_input(key="training.learning_rate").proto, form.selectbox(key="training.imbalance").proto
    assert rate.default == Config().training.learning_rate and rule.options[rule.default] == Config().training.imbalance
    assert form.text_input(key="data.manifest").proto.default == Config().data.manifest.as_posix()


def test_every_field_has_its_title_and_its_description(form: AppTest) -> None:
    titles = {widget.label for kind in ("selectbox", "number_input", "toggle", "text_input") for widget in form.get(kind)}
    for path in forms.all_paths():
        assert path == "checkpoints" or forms.title_of(path) in titles
    epochs = form.number_input(key="training.epochs")
    assert "Passes over the training set" in epochs.help
    assert "at most 1000" in epochs.help


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("selectbox", "training.schedule"),
        ("selectbox", "model.name"),
        ("selectbox", "preprocessing.size"),
        ("toggle", "preprocessing.clahe"),
        ("number_input", "training.learning_rate"),
        ("number_input", "training.seed"),
        ("text_input", "model.options"),
        ("text_input", "data.manifest"),
    ],
)
def test_the_kind_of_widget_follows_the_type_of_the_field(form: AppTest, kind: str, path: str) -> None:
    assert path in {widget.key for widget in form.get(kind)}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("training.learning_rate", "%.1e"), ("training.fine_tune_learning_rate", "%.1e"), ("model.dropout", "%.2f")],
)
def test_rates_are_written_scientifically_and_shares_plainly(path: str, expected: str) -> None:
    section, name = path.split(".")
    info = type(getattr(Config(), section)).model_fields[name]
    assert form_widgets.number_format(info)[0] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("384", 384), ("512 × 256", (512, 256)), ("[512, 256]", (512, 256)), ("512x256", (512, 256))],
)
def test_sizes_are_read_as_people_write_them(text: str, expected: Any) -> None:
    form = AppTest.from_function(_whole_form)
    form.session_state["preprocessing.size"] = text
    form.run()
    config, problems = forms.check(form.session_state["values"], Config())
    assert problems == []
    assert config is not None and config.preprocessing.size == expected


def test_names_of_columns_are_read_with_commas_between() -> None:
    form = AppTest.from_function(_whole_form)
    form.session_state["evaluation.numeric_columns"] = "thickness,  dose ,"
    form.run()
    config, problems = forms.check(form.session_state["values"], Config())
    assert problems == []
    assert config is not None and config.evaluation.numeric_columns == ("thickness", "dose")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("training.epochs", 0, "**Epochs**: got `0`"),
        ("training.learning_rate", 0.0, "above 0"),
        ("preprocessing.size", "wide", "**Input size (px)**: got `wide`"),
        ("preprocessing.size", 8, "at least 32"),
        ("model.name", "", "**Architecture**: got `nothing`"),
        ("training.device", "gpu", "**Device**"),
        ("model.options", "pad_type", "**timm options**"),
        ("training.epochs", None, "**Epochs**"),
    ],
)
def test_an_impossible_value_is_one_sentence_that_names_the_field(path: str, value: Any, said: str) -> None:
    config, problems = forms.check({path: value}, Config())
    assert config is None
    assert len(problems) == 1
    assert said in problems[0]


def test_timm_options_are_read_as_a_dictionary(form: AppTest) -> None:
    form.text_input(key="model.options").input("pad_type: same, drop_path_rate: 0.1, scriptable: true").run()
    config, _ = forms.check(form.session_state["values"], Config())
    assert config is not None
    assert config.model.options == {"pad_type": "same", "drop_path_rate": 0.1, "scriptable": True}


def test_what_was_typed_is_still_there_after_another_page() -> None:
    page = AppTest.from_function(_page_with_switch).run()
    page.number_input(key="training.epochs").set_value(3).run()
    page.session_state["elsewhere"] = True
    page.run()
    page.run()
    page.session_state["elsewhere"] = False
    page.run()
    assert page.session_state["epochs"] == 3
    assert page.number_input(key="training.epochs").value == 3


def test_what_was_typed_is_still_there_in_another_tab_or_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preferences, "_cookie", lambda: "t" * 32)
    AppTest.from_function(_page_with_switch).run().number_input(key="training.epochs").set_value(3).run()
    assert AppTest.from_function(_page_with_switch).run().session_state["epochs"] == 3


def test_a_new_default_wins_over_what_was_typed_before() -> None:
    page = AppTest.from_function(_page_with_switch).run()
    page.number_input(key="training.epochs").set_value(3).run()
    page.session_state["base"] = Config.model_validate({"training": {"epochs": 7}})
    page.run()
    assert page.session_state["epochs"] == 7


def test_the_differences_of_two_configurations_are_named() -> None:
    ours = Config.model_validate({"training": {"epochs": 3}, "preprocessing": {"clahe": False}})
    assert forms.changed(ours, Config()) == ["preprocessing.clahe", "training.epochs"]


def _grouped_form() -> None:
    import streamlit as st

    from core.config import Config
    from dashboard.ui import forms

    words = st.text_input("find", key="find")
    st.session_state["values"] = forms.groups(
        {"training": "Training", "training.advanced": "Advanced", "augmentation": "Augmentation"}, Config(), words=words
    )


def test_a_search_shows_matching_settings_only_and_loses_no_value() -> None:
    app = AppTest.from_function(_grouped_form).run()
    assert [each.label for each in app.expander] == ["Training (14)", "Advanced (13)", "Augmentation (7)"]
    app.number_input(key="training.patience").set_value(9).run()
    assert app.expander[0].label == "Training (14) :orange-badge[1 changed]"
    assert app.number_input(key="training.patience").label == f"Early stopping patience {forms.CHANGED}"
    app.text_input(key="find").set_value("flip mirror").run()
    assert not app.exception
    assert [each.key for each in app.toggle] == ["augmentation.horizontal_flip"] and not app.number_input
    assert app.session_state["values"]["training.patience"] == 9, "a field that is not drawn keeps what was typed"
    config, problems = forms.check(app.session_state["values"], Config())
    assert config is not None and not problems
    app.text_input(key="find").set_value("").run()
    assert app.number_input(key="training.patience").value == 9
