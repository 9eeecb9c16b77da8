"""Tiny voices that tests build instead of published ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from fakes import LETTERS


def save_vits(folder: Path, seed: int = 0, phonemize: bool = False, **config: Any) -> Path:
    """A VITS of width 16 that knows the lower-case letters, as `save_pretrained` lays it out."""
    from transformers import VitsConfig, VitsModel, VitsTokenizer, set_seed

    set_seed(seed)
    folder.mkdir(parents=True)
    vocabulary = {letter: index for index, letter in enumerate(("<pad>", *LETTERS, "<unk>"))}
    (folder / "letters.json").write_text(json.dumps(vocabulary))
    VitsTokenizer(str(folder / "letters.json"), phonemize=phonemize).save_pretrained(folder)
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "ffn_dim": 32,
        "flow_size": 16,
        "spectrogram_bins": 17,
        "prior_encoder_num_flows": 1,
        "prior_encoder_num_wavenet_layers": 1,
        "posterior_encoder_num_wavenet_layers": 1,
        "duration_predictor_num_flows": 1,
        "duration_predictor_filter_channels": 16,
        "depth_separable_num_layers": 1,
        "upsample_initial_channel": 16,
        "upsample_rates": [8, 8],
        "upsample_kernel_sizes": [16, 16],
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1]],
    }
    VitsModel(VitsConfig(vocab_size=len(vocabulary), **{**small, **config})).save_pretrained(folder)
    return folder


_SIGNS = "_^$ ,.ˈˌːɑæʌɔaʊɪbtʃdðɛɜeɚəfɡhidʒklmnŋoɹsθuvwjz"


PIPER_SETTINGS: dict[str, Any] = {
    "audio": {"sample_rate": 8000},
    "espeak": {"voice": "en-us"},
    "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
    "phoneme_id_map": {sign: [index] for index, sign in enumerate(dict.fromkeys(_SIGNS))},
    "num_speakers": 1,
}


def save_piper(folder: Path, inputs: tuple[str, ...] = ("input", "input_lengths", "scales"), **settings: Any) -> Path:
    """A model that gives each sign 100 samples of its own level, at pace 1."""
    from onnx import TensorProto, helper, numpy_helper, save

    types = {"input": (TensorProto.INT64, [1, None]), "input_lengths": (TensorProto.INT64, [1])}
    given = [
        helper.make_tensor_value_info(name, *types.get(name, (TensorProto.FLOAT, [3] if name == "scales" else [1])))
        for name in inputs
    ]
    constants = {
        "hundred": np.float32(100),
        "level": np.float32(100),
        "one": np.array([1]),
        "shape": np.array([1, 1, 1, -1]),
    }
    nodes = [
        helper.make_node("Cast", ["input"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["ids", "level"], ["levels"]),
        helper.make_node("Reshape", ["levels", "column"], ["tall"]),
        helper.make_node("Gather", ["scales", "one"], ["pace"]),
        helper.make_node("Mul", ["pace", "hundred"], ["long"]),
        helper.make_node("Cast", ["long"], ["width"], to=TensorProto.INT64),
        helper.make_node("Concat", ["one", "width"], ["repeats"], axis=0),
        helper.make_node("Tile", ["tall", "repeats"], ["wide"]),
        helper.make_node("Reshape", ["wide", "shape"], ["output"]),
    ]
    constants["column"] = np.array([-1, 1])
    graph = helper.make_graph(
        nodes,
        "voice",
        given,
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 1, None])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(exist_ok=True)
    file = folder / "voice.onnx"
    save(model, file)
    Path(f"{file}.json").write_text(json.dumps({**PIPER_SETTINGS, **settings}), encoding="utf-8")
    return file
