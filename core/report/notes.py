"""report.yaml: what only the researcher can say (who paid, who approved, where the patients were seen), as plain text.

It lies in the run's folder, so that the page and the command line write the same report. Nothing in it is checked against the
run, and nothing is ever put into it by MammoLab but the questions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from core.errors import BadConfig
from core.files.atomic import write_text
from core.files.untrusted import read_text
from core.runs.folder import require_regular

if TYPE_CHECKING:
    from core.runs import Run

FILE = "report.yaml"
_LONGEST = 20_000  # characters an answer
_LARGEST = 1 << 22  # bytes: every question answered at full length, in any script

Answer = Annotated[str, StringConstraints(max_length=_LONGEST, strip_whitespace=True)]


def _question(text: str) -> str:
    return Field("", description=text)


class Notes(BaseModel):
    """The authors' answers; "" where there is none yet. A description is the question as the report asks it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Answer = _question("Title: the study as developing or evaluating a model, the population and the outcome.")
    authors: Answer = _question("Authors and their affiliations.")
    background: Answer = _question("The clinical question, why a model is needed, and the models that exist already.")
    intended_use: Answer = _question("For which people, by whom and at which step of care the model would be used.")
    inequalities: Answer = _question("Health inequalities between sociodemographic groups that are known in this field.")
    objectives: Answer = _question("Aims and hypotheses; whether the study develops a model, evaluates it, or both.")
    design: Answer = _question("Whether images were collected prospectively or retrospectively, and the goal of the study.")
    source: Answer = _question(
        "Where the data come from (screening programme, clinic, public set), why these, whom they represent."
    )
    dates: Answer = _question("First and last date of the examinations, and the end of follow-up.")
    setting: Answer = _question("Kind, number and location of the centres.")
    eligibility: Answer = _question(
        "Who could be included, who was excluded before the manifest was made, and how cases were chosen."
    )
    treatments: Answer = _question(
        "Treatments before the examination (surgery, implants, radiotherapy) and how they were handled."
    )
    acquisition: Answer = _question("How the images were acquired: devices, views, processing by the vendor.")
    deidentification: Answer = _question("How the images and their metadata were de-identified before MammoLab read them.")
    outcome: Answer = _question(
        "What benign and malignant mean here (biopsy, follow-up, reading), within what time, and why so."
    )
    assessors: Answer = _question("Who assessed the outcome and drew the lesions: training, number, agreement between them.")
    blinding: Answer = _question("What the assessors of the outcome knew of the images and of the model.")
    sample_size: Answer = _question("How the size of the study was arrived at, separately for development and evaluation.")
    fairness: Answer = _question("What was done about fairness between groups, and why.")
    differences: Answer = _question(
        "How the evaluation data differ from the development data in setting, eligibility and outcome."
    )
    external: Answer = _question("Tests on data of another source, or why there are none.")
    ethics: Answer = _question("The ethics committee that approved the study, and consent or its waiver.")
    funding: Answer = _question("Who paid, and what the funders had to say in the study.")
    conflicts: Answer = _question("Conflicts of interest of all authors.")
    protocol: Answer = _question("Where the protocol can be read, or that there was none.")
    registration: Answer = _question("Register and number, or that the study was not registered.")
    data_sharing: Answer = _question("Whether and where the data can be had.")
    code_sharing: Answer = _question("Whether and where the code and the trained model can be had.")
    involvement: Answer = _question("How patients and the public were involved, or that they were not.")
    interpretation: Answer = _question("What the results mean for the objectives, for fairness, and against earlier studies.")
    limitations: Answer = _question("Limits that the run does not show: who is missing, how labels may be wrong.")
    usability: Answer = _question("Which expertise a user would need, and what remains to be done before anyone could use it.")

    def question(self, key: str) -> str:
        """The question of a key."""
        return str(type(self).model_fields[key].description)

    def answer(self, key: str) -> str:
        """The answer to a key; "" where there is none."""
        return str(getattr(self, key))


def read_notes(path: Path) -> Notes:
    """The answers of a report.yaml; all empty where there is no such file.

    Raises:
        BadConfig: it is not YAML, has keys we do not know, or an answer that is no text.
    """
    from core.config.yaml_text import plain_yaml, read_yaml

    try:
        content = read_yaml(path, plain_yaml(), _LARGEST)
    except FileNotFoundError:
        return Notes()
    except BadConfig as error:
        raise BadConfig(f"{error}. Expected YAML in UTF-8, `key: text` on a line; correct it.") from error
    if content is None:
        return Notes()
    if not isinstance(content, dict):
        raise BadConfig(f"{path}: expected `key: text` lines, got {type(content).__name__}. Start from an empty {FILE}.")
    try:
        return Notes.model_validate({str(key): "" if value is None else _text(value) for key, value in content.items()})
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(Notes.model_fields)
        raise BadConfig(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}. Known keys: {known}.") from error


def write_questions(run: Run) -> Path:
    """Put a report.yaml with every question and no answer into the run's folder, unless there is one; returns its path.

    Raises:
        BadRun: the run's folder has entries that lead elsewhere.
        OSError: the folder cannot be written to.
    """
    require_regular(run.path)
    path = run.path / FILE
    if not path.exists():
        write_text(path, questions())
    return path


def questions() -> str:
    """An empty report.yaml: every question as a comment above its key."""
    head = (
        "# What only the authors can say; MammoLab fills in the rest. Leave out what does not apply, or say that it does not.\n"
    )
    head += "# Longer texts: `key: |`, then the text on the next lines, indented by two spaces.\n"
    return head + "".join(f'\n# {field.description}\n{key}: ""\n' for key, field in Notes.model_fields.items())


def keep_notes(run: Run, source: Path) -> Notes:
    """Check `source` and make it the run's report.yaml.

    Raises:
        BadConfig: there is no such file, or it is not what `read_notes` takes.
        OSError: the folder cannot be written to.
    """
    require_regular(run.path)
    if not source.is_file():  # also a named pipe, which would be waited for without end
        raise BadConfig(f"{source}: no such file. Make an empty one with `python -m core report {run.name} --questions`.")
    notes = read_notes(source.resolve())  # a link that the user names is the user's; one in a run's folder is not followed
    write_text(run.path / FILE, read_text(source.resolve(), _LARGEST))
    return notes


def _text(value: object) -> object:
    """Numbers and dates that YAML made of plain words, as words again; anything else is for pydantic to refuse."""
    return value if isinstance(value, (str, list, dict)) else str(value)
