"""The phone classes travel with the encoder and its checkpoints. Run: python -m pytest tests/network/test_phones.py"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import ROOT, load, trained_checkpoint

from models.ensemble.rebuild import rebuild_network
from models.errors import InputError
from models.network.build import network_settings
from models.network.phones import PHONE_CLASSES, PHONES_FILE
from models.network.pretrained import pretrained_network

SHIPPED = ROOT / "assets" / "encoders" / "phonetic-tiny"


def test_the_shipped_encoder_names_the_usual_classes() -> None:
    assert tuple(json.loads((SHIPPED / PHONES_FILE).read_text())) == PHONE_CLASSES
    network = pretrained_network(load("aligntiny"))
    assert network.phone_names == PHONE_CLASSES
    assert network_settings(network)["phones"] == list(PHONE_CLASSES)


@pytest.mark.parametrize("content", ["[]", "{", json.dumps(["sil"]), json.dumps([1] * len(PHONE_CLASSES))])
def test_names_that_do_not_fit_the_classifier_are_refused(content: str, tmp_path: Path) -> None:
    folder = shutil.copytree(SHIPPED, tmp_path / "encoder")
    (folder / PHONES_FILE).write_text(content)
    with pytest.raises(InputError, match=PHONES_FILE):
        pretrained_network(replace(load("aligntiny"), encoder=str(folder)))


def test_another_inventory_is_remembered_and_an_older_checkpoint_has_the_usual_one(encoder_dir: Path) -> None:
    checkpoint = trained_checkpoint(encoder_dir, "alignsmall")
    encoder = {name: value for name, value in checkpoint.encoder.items() if name != "phones"}
    assert rebuild_network(replace(checkpoint, encoder=encoder)).phone_names == ()
    assert rebuild_network(replace(checkpoint, encoder={**encoder, "phones": ["a", "b"]})).phone_names == ("a", "b")
