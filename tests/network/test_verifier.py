"""The verifier: its decoder beside transformers' own, what it judges, what it may not be given. Run: make quick"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import LETTERS, load, written_tokens
from safetensors.torch import load_file, save_file
from transformers import WhisperForConditionalGeneration

from models.clips.batches import Clip, collate_text
from models.clips.tokens import TextTokenizer, _as_written
from models.errors import InputError
from models.network.build import make_network
from models.network.comparison import parameter_groups
from models.network.decoder import cross_attention, decode
from models.network.encoder import encode
from models.network.pretrained import load_decoder, load_encoder, pretrained_network
from models.network.token_losses import mean_token_loss, transcription_loss
from models.network.verifier import TokenPooling, VerifierNetwork

PLAIN = replace(load("verifytiny"), token_loss=0.0, drawn_texts=0, drawn_loss=0.0, transcription_loss=0.0)
NAMES = ("response", "response_frames", "tokens", "token_counts")


def judge(network: VerifierNetwork, response: torch.Tensor, frames: torch.Tensor, *texts: torch.Tensor) -> tuple:
    return network.judge(*network.hear(response, frames), *texts)


@pytest.fixture
def verifier(encoder_dir: Path) -> VerifierNetwork:
    network = make_network(load_encoder(str(encoder_dir), 3000), PLAIN, 0, *load_decoder(str(encoder_dir)))
    assert isinstance(network, VerifierNetwork)
    return network.eval()


@pytest.fixture
def batch(verifier: VerifierNetwork) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    texts, frames = ["we play", "a cat", "x"], [3000, 200, 90]
    return collate_text(
        [
            Clip(
                response=torch.randn(80, length, generator=generator),
                tokens=torch.tensor(verifier.tokenizer.encode(text)),
                scalars=torch.rand(2, generator=generator),
                labels=torch.tensor(float(index % 2)),
            )
            for index, (text, length) in enumerate(zip(texts, frames, strict=True))
        ]
    )


@torch.no_grad()
def test_the_decoder_is_transformers_own(
    encoder_dir: Path, verifier: VerifierNetwork, batch: dict[str, torch.Tensor]
) -> None:
    """On an input as long as theirs, without padding; what a product with all of the vocabulary would give for the tokens fed."""
    theirs = WhisperForConditionalGeneration.from_pretrained(encoder_dir).eval()
    response, tokens = batch["response"][:1], batch["tokens"][:1, : int(batch["token_counts"][0])]
    output = theirs.model(response, decoder_input_ids=tokens).last_hidden_state
    frames = encode(verifier.encoder, response)
    ours = decode(verifier.decoder, tokens, frames, torch.ones(frames.shape[:2], dtype=torch.bool))
    torch.testing.assert_close(ours, output, atol=1e-5, rtol=0)
    logits, judged = judge(verifier, response, batch["response_frames"][:1], tokens, batch["token_counts"][:1])
    vocabulary = theirs.proj_out(output)[0]
    torch.testing.assert_close(logits[0, :, 0], vocabulary[torch.arange(tokens.shape[1]), tokens[0]], atol=1e-5, rtol=0)
    following = vocabulary.log_softmax(1)[torch.arange(1, tokens.shape[1] - 1), tokens[0, 2:]]
    torch.testing.assert_close(logits[0, 2:, 1], following / 3, atol=1e-5, rtol=0)
    assert judged[0].tolist() == [False, False] + [True] * (len(" We play.") + 1)


@torch.no_grad()
def test_no_token_sees_a_later_one(verifier: VerifierNetwork, batch: dict[str, torch.Tensor]) -> None:
    arguments = [batch[name] for name in NAMES]
    before = judge(verifier, *arguments)[0]
    arguments[2] = arguments[2].clone()
    arguments[2][:, 5:] = 7
    after = judge(verifier, *arguments)[0]
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5:], after[:, 5:])


@torch.no_grad()
def test_logits_are_told_in_units_of_the_untrained_network(
    verifier: VerifierNetwork, batch: dict[str, torch.Tensor]
) -> None:
    verifier.start_from(batch)
    logits, judged = judge(verifier, *(batch[name] for name in NAMES))
    assert float(logits[..., 0][judged].mean()) == pytest.approx(0, abs=1e-5)
    assert float(logits[..., 0][judged].std()) == pytest.approx(1, abs=1e-5)
    scalars = torch.zeros_like(batch["scalars"])
    found = verifier(**{**batch, "scalars": scalars})["logits"]
    torch.testing.assert_close(found, verifier.pooling(logits, judged).mean(dim=1))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision_changes_little(
    dtype: torch.dtype, verifier: VerifierNetwork, batch: dict[str, torch.Tensor]
) -> None:
    """And is felt: the encoder computes in it, and on a CPU what the decoder sees in the frames; what it asks stays exact."""
    before = verifier(**batch)["logits"]
    verifier.lower_precision(dtype)
    layer = verifier.decoder.layers[0]
    assert layer.encoder_attn.v_proj.weight.dtype == dtype
    assert layer.encoder_attn.k_proj.weight.dtype == layer.fc1.weight.dtype == torch.float32
    after = verifier(**batch)["logits"]
    assert after.dtype == torch.float32
    assert not torch.equal(before, after)
    torch.testing.assert_close(before, after, atol=0.05, rtol=0)


def test_pooling_is_the_mean_and_the_soft_minimum() -> None:
    """Of what is asked of tokens; of gaps the soft minimum."""
    said, gaps, likely = [1.0, -5.0, 3.0], [2.0, 2.5, -1.0], [-0.5, -4.0, -0.1]
    mask = torch.tensor([[True, True, True, False]])
    judged = torch.tensor([*zip(said, gaps, likely, strict=True), (99.0, -99.0, -99.0)])[None]
    softest = [-float((-torch.tensor(each)).exp().mean().log()) for each in (said, gaps, likely)]
    means = [sum(each) / 3 for each in (said, likely)]
    pooling = TokenPooling(3)
    assert pooling(judged, mask)[0].tolist() == pytest.approx([*means, *softest], rel=1e-4)
    assert TokenPooling(2)(judged[..., ::2], mask)[0].tolist() == pytest.approx(
        [*means, softest[0], softest[2]], rel=1e-4
    )
    assert (pooling.out_features, TokenPooling(2).out_features) == (5, 4)


@torch.no_grad()
def test_what_is_impossible_counts_as_unlikely(verifier: VerifierNetwork, batch: dict[str, torch.Tensor]) -> None:
    """However sure the decoder is of another token: no answer is ruled by one product alone."""
    verifier.decoder.layer_norm.weight.mul_(1e4)
    logits, judged = judge(verifier, *(batch[name] for name in NAMES))
    assert float(logits[..., 1][judged].min()) == -5


def test_the_embedding_stays_and_the_head_has_its_own_rate(verifier: VerifierNetwork) -> None:
    recipe = load("verifytiny")
    groups = parameter_groups(verifier, recipe)
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    assert id(verifier.decoder.embed_tokens.weight) not in trained
    assert id(verifier.decoder.layers[0].encoder_attn.q_proj.weight) in trained
    assert [group.get("lr") for group in groups] == [None, None, recipe.head_learning_rate]
    assert groups[2]["params"] == list(verifier.head.parameters())


def test_the_answer_for_gaps_learns_as_fast_as_the_head(encoder_dir: Path) -> None:
    """At the decoder's rate it learns too little in two epochs: a regression on the decoder's states tells gaps far better."""
    recipe = load("verifytiny")
    network = make_network(load_encoder(str(encoder_dir), 3000), recipe, 0, *load_decoder(str(encoder_dir)))
    own_rate = parameter_groups(network, recipe)[2]
    assert own_rate["lr"] == recipe.head_learning_rate
    assert {id(parameter) for parameter in own_rate["params"]} == {
        id(parameter) for part in (network.head, network.gap_head) for parameter in part.parameters()
    }


def test_a_text_is_fed_with_start_and_end(encoder_dir: Path) -> None:
    _, tokenizer = load_decoder(str(encoder_dir))
    first = 5  # after the marks
    tokens = written_tokens()[first:]
    assert tokenizer.encode(" ab ") == [
        3,
        4,
        first + LETTERS.index(" "),
        first + tokens.index("A"),
        first + LETTERS.index("b"),
        first + tokens.index("."),
        2,
    ]


@pytest.mark.parametrize(
    ("text", "fed"),
    [
        *(("a cat", " A cat."), ("A cat.", " A cat."), ("who?", " Who?"), ("I don't", " I don't."), (" 3 ", " 3.")),
        *(("SHE HAS A HAT", " She has a hat."), ("IT IS US!", " It is us!"), ("I DON'T", " I don't."), ("US", " Us.")),
        *(
            ("I'M ON TV", " I'm on TV."),
            ("TV", " TV."),
            ("NASA is far", " NASA is far."),
            ("U.S.", " U.S."),
            ("I", " I."),
        ),
        *(("GLORP", " Glorp."), ("SEE ZIB", " See zib."), ("PE", " Pe.")),
        *(
            ("Give It To Us", " Give it to us."),
            ("She'S On The TV", " She's on the TV."),
            ("Mary Had 3 Lambs", " Mary had 3 lambs."),
        ),
        *(("THE 2ND OF THE 80S", " The 2nd of the 80s."), ("R2D2 IS ON", " R2D2 is on."), ("I'M Six.", " I'M Six.")),
    ],
)
def test_a_text_is_written_as_in_transcripts(text: str, fed: str) -> None:
    """What is written already stays."""
    assert _as_written(text) == fed


@pytest.mark.parametrize(
    "text",
    [
        *("a  cat can't", "a\tcat\ncan't", "a cat\u00a0can't", "a cat\r\ncan't\n"),
        *(f"a cat can{sign}t" for sign in "\u2019\u2018\u201b\u02bc\u00b4`\u2032\uff07\u0092"),
        *(f"a ca{sign}t can't" for sign in "\u200b\u00ad\ufeff\0\x07"),
    ],
)
def test_signs_that_look_alike_are_fed_alike(text: str) -> None:
    """As tables, word processors and web pages have them."""
    assert _as_written(text) == " A cat can't."


def test_a_word_of_signs_that_nobody_sees_stays_a_word(encoder_dir: Path) -> None:
    """Who counts the words of a text finds as many."""
    _, tokenizer = load_decoder(str(encoder_dir))
    assert max(tokenizer.words("we \u200b go")) == len("we \u200b go".split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  ", "empty"),
        *(("?", "no word"), ("\u200b", "no word"), ("$ - $", "no word")),
        ("naïve", "does not know"),
        ("a <|endoftext|> b", "its own marks"),
        ("a <|0.00|> b", "its own marks"),
        ("a" * 500, r"takes 505 tokens .* 448 at most"),
    ],
)
def test_a_text_that_can_not_be_fed_is_named(text: str, message: str, encoder_dir: Path) -> None:
    _, tokenizer = load_decoder(str(encoder_dir))
    with pytest.raises(InputError, match=message):
        tokenizer.encode(text)


def without_decoder(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    save_file({name: value for name, value in weights.items() if "decoder" not in name}, file, {"format": "pt"})


def other_start(folder: Path) -> None:
    file = folder / "tokenizer.json"
    text = file.read_text().replace('"<|startoftranscript|>":3', '"<|startoftranscript|>":4')
    file.write_text(
        text.replace('"<|startoftranscript|>": 3', '"<|startoftranscript|>": 4').replace('"id": 3,', '"id": 62,')
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_decoder, r"has no decoder.*get_whisper\.py"),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"has no tokenizer\.json.*get_whisper\.py"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "can't be read"),
        (other_start, "of another Whisper"),
    ],
)
def test_what_a_folder_lacks_is_named(change: object, message: str, encoder_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "whisper"
    shutil.copytree(encoder_dir, folder)
    assert callable(change)
    change(folder)
    with pytest.raises(InputError, match=message):
        load_decoder(str(folder))


def test_the_shipped_encoder_makes_no_verifier() -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match="has no decoder"):
        pretrained_network(replace(load("verifytiny"), encoder="assets/encoders/phonetic-tiny"))


def test_multilingual_models_are_told_language_and_task() -> None:
    """By the size of their vocabulary, as OpenAI's own code decides."""
    from tokenizers import Tokenizer, models

    names = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>", "<|endoftext|>"]
    tokenizer = Tokenizer(models.BPE(vocab={name: index for index, name in enumerate(names)}, merges=[]))
    tokenizer.add_special_tokens(names)
    assert TextTokenizer(tokenizer.to_str(), 51_865, 448).prompt == [0, 1, 2, 3]
    assert TextTokenizer(tokenizer.to_str(), 51_864, 448).prompt == [0, 3]


def test_words_of_tokens(encoder_dir: Path) -> None:
    """A blank belongs to the word that it begins, as in Whisper's tokens."""
    _, tokenizer = load_decoder(str(encoder_dir))
    assert tokenizer.words("we go") == [-1, -1, 0, 0, 0, 1, 1, 1, 1, 2]
    assert len(tokenizer.words("we go")) == len(tokenizer.encode("we go"))


def test_token_loss_is_the_mean_over_clips_of_what_is_known() -> None:
    nan = float("nan")
    logits = torch.tensor([[0.3, -1.0, 2.0], [1.0, 5.0, -4.0], [0.5, 0.5, 0.5]])[..., None]
    labels = torch.tensor([[nan, 1.0, 0.0], [nan, 1.0, nan], [nan, nan, nan]])[..., None]
    right = [-torch.sigmoid(torch.tensor(logit)).log() for logit in (-1.0, -2.0, 5.0)]
    expected = ((right[0] + right[1]) / 2 + right[2]) / 2
    torch.testing.assert_close(mean_token_loss(logits, labels), expected)
    assert float(mean_token_loss(logits[2:], labels[2:])) == 0


def test_the_token_loss_is_added_with_its_weight(verifier: VerifierNetwork, batch: dict[str, torch.Tensor]) -> None:
    known = torch.full((*batch["tokens"].shape, 2), float("nan"))
    known[:, 3] = 1.0
    plain = verifier(**batch)["loss"]
    assert torch.equal(verifier(**batch, token_labels=known)["loss"], plain)  # the recipe gives it no weight
    verifier.token_loss = 0.5
    logits, _ = judge(verifier, *(batch[name] for name in NAMES))
    torch.testing.assert_close(
        verifier(**batch, token_labels=known)["loss"], plain + 0.5 * mean_token_loss(logits[..., :1], known[..., :1])
    )


@torch.no_grad()
def test_right_answers_are_transcripts(
    encoder_dir: Path, verifier: VerifierNetwork, batch: dict[str, torch.Tensor]
) -> None:
    """The loss that is added is transformers' own of the right answer's text; nothing is learnt from what was not said."""
    theirs = WhisperForConditionalGeneration.from_pretrained(encoder_dir).eval()
    batch = {**batch, **{name: batch[name][:1] for name in NAMES if name.startswith("response")}}
    only = {name: value[:1] for name, value in batch.items()}
    tokens = only["tokens"] = only["tokens"][:, : int(only["token_counts"][0])]
    ignored = torch.full((1, verifier.n_prompt - 1), -100)
    theirs.model.encoder.load_state_dict(verifier.encoder.state_dict())
    expected = theirs(
        only["response"],
        decoder_input_ids=tokens[:, :-1],
        labels=torch.cat([ignored, tokens[:, verifier.n_prompt :]], dim=1),
    ).loss
    verifier.transcription_loss = 0.25
    added = [
        verifier(**{**only, "labels": torch.tensor([label])})["loss"] - verifier.answer(*parts)["loss"]
        for label in (1.0, 0.0)
        for parts in [
            (
                verifier.pooling(*judge(verifier, *(only[name] for name in NAMES))),
                only["scalars"],
                torch.tensor([label]),
            )
        ]
    ]
    torch.testing.assert_close(added[0], 0.25 * expected, atol=1e-5, rtol=1e-5)
    assert float(added[1]) == 0


def test_a_batch_without_right_answers_has_no_transcripts(batch: dict[str, torch.Tensor]) -> None:
    mask = torch.tensor([[True, True, False], [True, False, False]])
    written = torch.tensor([[-1.0, -3.0, -99.0], [-4.0, -99.0, -99.0]])
    assert float(transcription_loss(written, mask, torch.tensor([1.0, 1.0]))) == 3.0
    assert float(transcription_loss(written, mask, torch.tensor([0.0, 0.0]))) == 0.0


def test_gaps_are_asked_where_texts_are_drawn(encoder_dir: Path, batch: dict[str, torch.Tensor]) -> None:
    """Their logits are pooled and learn from labels of their own."""
    recipe = replace(PLAIN, drawn_texts=1, token_loss=1.0)
    network = make_network(load_encoder(str(encoder_dir), 3000), recipe, 0, *load_decoder(str(encoder_dir))).eval()
    torch.nn.init.constant_(network.decoder.layer_norm.weight, 5.0)  # large states, as Whisper's
    logits, judged = judge(network, *(batch[name] for name in NAMES))
    states = decode(network.decoder, batch["tokens"], *network.hear(batch["response"], batch["response_frames"]))
    normed = (states - states.mean(2, keepdim=True)) / (states.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(logits[..., 1:2], network.gap_head(normed), atol=1e-5, rtol=0)
    assert network.pooling(logits, judged).shape == (3, 5)
    known = torch.full((*batch["tokens"].shape, 2), float("nan"))
    known[0, 4, 1] = 0.0
    network(**batch, token_labels=known)["loss"].backward()
    of_gap = torch.sigmoid(logits[0, 4, 1])
    added = network(**batch, token_labels=known)["loss"] - network(**batch)["loss"]
    torch.testing.assert_close(added, -(1 - of_gap).log())
    assert network.gap_head.weight.grad.abs().max() > 0


def with_drawn(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The last two texts read with the first response too."""
    both = {name: torch.cat([batch[name], batch[name][1:]]) for name in ("tokens", "token_counts")}
    return {**batch, **both, "text_rows": torch.tensor([0, 1, 2, 0, 0])}


@torch.no_grad()
def look_about(verifier: VerifierNetwork) -> None:
    """Have the decoder of small random weights look at some frames more than at others."""
    for layer in verifier.decoder.layers:
        for part in (layer.encoder_attn.q_proj, layer.encoder_attn.k_proj, layer.encoder_attn.v_proj):
            part.weight.mul_(50)


@torch.no_grad()
def test_where_tokens_look_is_transformers_own(encoder_dir: Path, verifier: VerifierNetwork) -> None:
    look_about(verifier)
    theirs = WhisperForConditionalGeneration.from_pretrained(encoder_dir, attn_implementation="eager").eval()
    theirs.model.decoder.load_state_dict(verifier.decoder.state_dict())
    response, tokens = torch.randn(1, 80, 3000), torch.tensor([verifier.tokenizer.encode("we play")])
    expected = theirs.model(response, decoder_input_ids=tokens, output_attentions=True).cross_attentions
    heard, mask = verifier.hear(response, torch.tensor([3000]))
    found = cross_attention(verifier.decoder, tokens, heard, mask)
    torch.testing.assert_close(found, torch.cat(expected, dim=1), atol=1e-5, rtol=1e-3)
    assert found.amax() > 3 / 1500  # else any mistake would pass


@torch.no_grad()
def test_several_texts_are_read_with_one_response(verifier: VerifierNetwork, batch: dict[str, torch.Tensor]) -> None:
    look_about(verifier)
    several, _ = judge(verifier, *(with_drawn(batch)[name] for name in (*NAMES, "text_rows")))
    repeated = {name: batch[name][[0, 1, 2, 0, 0]] for name in NAMES[:2]}
    alone, _ = judge(verifier, *({**with_drawn(batch), **repeated}[name] for name in NAMES))
    torch.testing.assert_close(several, alone, atol=1e-5, rtol=0)


def test_a_right_answer_is_to_fit_its_own_text_better(
    verifier: VerifierNetwork, batch: dict[str, torch.Tensor]
) -> None:
    drawn, plain = with_drawn(batch), verifier(**batch)
    assert torch.equal(verifier(**drawn)["loss"], plain["loss"])  # the recipe gives it no weight
    verifier.drawn_loss = 0.5
    others = {name: drawn[name][[3, 4]] for name in ("tokens", "token_counts")}
    others |= {name: batch[name][[0, 0]] for name in ("response", "response_frames", "scalars")}
    behind = [1 / (1 + torch.exp(plain["logits"][0] - logit)) for logit in verifier(**others)["logits"]]
    expected = plain["loss"] - 0.5 * (1 - torch.stack(behind)).log().mean()
    found = verifier(**drawn)
    torch.testing.assert_close(found["loss"], expected)
    torch.testing.assert_close(found["logits"], plain["logits"])


def test_the_start_is_that_of_own_texts(verifier: VerifierNetwork, batch: dict[str, torch.Tensor]) -> None:
    verifier.start_from(batch)
    before = float(verifier.logit_mean)
    verifier.start_from(with_drawn(batch))
    assert float(verifier.logit_mean) == pytest.approx(before, abs=1e-6)
