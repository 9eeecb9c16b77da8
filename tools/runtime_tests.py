"""Does inference run on the library versions that requirements-runtime.txt claims? Run in an environment that has them:

    make runtime

makes one, `.venv-runtime`, and calls this. First every pinned version is compared with what is installed, so that nothing is
tested on other versions by mistake; then the tests of all that inference is made of run there.
"""

import argparse
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
REQUIREMENTS = ROOT / "requirements-runtime.txt"

# All that inference imports or reads. What trains, pre-trains, measures or demonstrates is left out: that runs on
# requirements.txt alone, whose transformers the Trainer's arguments are written for.
INFERENCE_TESTS = """
base/test_lock
clips/test_any_table clips/test_dataset clips/test_features clips/test_readings clips/test_tables
ensemble/test_checkpoint ensemble/test_ensemble
hardening/test_bad_files hardening/test_bad_input hardening/test_fuzz
inference/test_inference inference/test_shipped inference/test_submission
network/test_alignment network/test_encoder network/test_network network/test_phone_classifier network/test_phone_evidence
network/test_restarts network/test_verifier
packing/test_packing
scripts/test_preprocess
speech/test_audio speech/test_hf_voice speech/test_melo speech/test_pronunciation speech/test_reference_checksums
speech/test_references speech/test_respelling speech/test_voices
""".split()
NO_CHECKSUM = "reads a checkpoint without its checksum, as get_config.py and check_models.py do: needs torch 2.6"
LEFT_OUT = {
    "base/test_lock.py::test_a_second_run_is_refused_while_the_first_is_alive[train_model2s.py]": "trains",
    "speech/test_reference_checksums.py::test_inference_and_training_read_each_file_once": "trains",
    "ensemble/test_checkpoint.py::test_oof_predictions_must_be_whole": NO_CHECKSUM,
    "ensemble/test_ensemble.py::test_some_of_the_models_can_be_blended_alone": NO_CHECKSUM,
    "ensemble/test_ensemble.py::test_sound_models_have_no_problems": NO_CHECKSUM,
    "ensemble/test_ensemble.py::test_a_missing_fold_is_named_with_the_command_that_trains_it": NO_CHECKSUM,
    "ensemble/test_ensemble.py::test_a_fold_that_stands_out_is_named": NO_CHECKSUM,
    "ensemble/test_ensemble.py::test_strangers_and_broken_files_are_named": NO_CHECKSUM,
}


def read_requirements(file: Path) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def differences(requirements: list[Requirement]) -> list[str]:
    """What is installed otherwise than required, each with both versions."""
    found = []
    for requirement in requirements:
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            found.append(f"{requirement}: not installed")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            found.append(f"{requirement}: found {installed}")
    return found


def stale_names() -> list[str]:
    """What is listed above and is no test any more: pytest says nothing of a test to leave out that it does not find."""
    files = [f"{name}.py" for name in INFERENCE_TESTS]
    stale = [file for file in files if not (TESTS / file).is_file()]
    for test in LEFT_OUT:
        file, _, name = test.partition("::")
        found = file in files and file not in stale
        if not found or f"\ndef {name.partition('[')[0]}(" not in (TESTS / file).read_text(encoding="utf-8"):
            stale.append(test)
    return stale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--requirements",
        type=Path,
        default=REQUIREMENTS,
        help="the versions that must be installed (default: %(default)s)",
    )
    options, pytest_arguments = parser.parse_known_args()
    wrong = differences(read_requirements(options.requirements))
    if wrong:
        sys.exit(f"error: not the environment of {options.requirements}:\n" + "\n".join(wrong))
    if stale := stale_names():
        sys.exit(f"error: {__file__} lists what is not among the tests: {', '.join(stale)}")
    print(f"Python {sys.version.split()[0]}, all versions as in {options.requirements.name}")

    import pytest

    left_out = [text for test in LEFT_OUT for text in ("--deselect", f"tests/{test}")]
    files = [str(TESTS / f"{name}.py") for name in INFERENCE_TESTS]
    sys.exit(pytest.main(["--rootdir", str(ROOT), *left_out, *pytest_arguments, *files]))


if __name__ == "__main__":
    main()
