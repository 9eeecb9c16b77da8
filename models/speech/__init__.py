"""Audio in and out, text-to-speech voices, and the references that they have spoken."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "audio": ["SAMPLE_RATE_HZ", "read_answer"],
        "examining": ["Examined", "examine_all"],
        "pronunciation": ["Pronunciation", "pronounce_text", "utterance_of"],
        "pronunciation_table": [
            "first_choice",
            "given_beside",
            "leave_beside",
            "read_given",
            "to_cell",
            "write_pronunciations",
        ],
        "speaking": ["complete_references", "speak_references"],
    },
)
