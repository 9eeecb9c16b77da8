"""The entry of a submission: scores the test clips with everything that lies beside it -> submission.csv, beside it too.

`pack_submission.py` puts this file at the root of submission.zip. It needs no network and writes nothing outside its own folder.
The data folder is the first of `data/` beside it, in the current folder, and beside its own folder. What follows on the
command line goes to infer.py: `python main.py --device cpu`.
"""

import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TEMPORARY = HERE / ".temporary"

# Where libraries would write, or look for a network
SETTINGS = {
    **dict.fromkeys(("TMPDIR", "HOME", "HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"), str(TEMPORARY)),
    **dict.fromkeys(("NUMBA_CACHE_DIR", "CUDA_CACHE_PATH", "TRITON_CACHE_DIR"), str(TEMPORARY)),
    **dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "PYTHONDONTWRITEBYTECODE"), "1"),
}


def find_data() -> Path:
    places = [HERE / "data", Path.cwd() / "data", HERE.parent / "data"]
    for place in places:
        if (place / "test_metadata.csv").is_file():
            return place
    sys.exit("error: no test_metadata.csv in any of " + ", ".join(map(str, places)))


def infer_arguments() -> list[str]:
    """The speaker and the vocoder of a SpeechT5 voice, where they were packed."""
    speaker, vocoder = HERE / "voice" / "speaker_embedding.npy", HERE / "vocoder"
    arguments = ["--speaker_embedding", str(speaker)] if speaker.is_file() else []
    return [*arguments, "--vocoder", str(vocoder)] if vocoder.is_dir() else arguments


def main() -> None:
    data = find_data()
    TEMPORARY.mkdir(exist_ok=True)
    os.environ.update(SETTINGS)
    sys.dont_write_bytecode = True
    os.chdir(HERE)
    sys.path[:0] = [str(HERE), str(HERE / "vendor")]
    sys.argv[1:] = ["--data_dir", str(data), "--output", "submission.csv", *infer_arguments(), *sys.argv[1:]]

    import infer
    from models.base.cli import run

    try:
        run(infer.main)
    finally:
        shutil.rmtree(TEMPORARY, ignore_errors=True)
        for name in (".submission.csv.lock", ".tts_data.lock"):
            (HERE / name).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
