"""What is said about models: figures with intervals, folds that went wrong, the page of --report, the model card."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "card": ["CardChoices", "model_card"],
        "checks": ["describe_tries", "figure_table", "find_faulty_folds", "oof_table"],
        "content": ["ReportOptions"],
        "figures": ["member_figures"],
        "page": ["write_report"],
    },
)
