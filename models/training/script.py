"""What every recipe script does: train one fold of its recipe."""

from models import training
from models.base.cli import make_parser, run
from models.base.processes import is_first_process, leave
from models.recipe import Recipe
from models.training.options import add_training_arguments, training_options


def main(recipe: Recipe) -> None:
    """Run a recipe script: train one fold of `recipe` as the command line says, then exit."""
    run(lambda: _train(recipe))


def _train(recipe: Recipe) -> None:
    parser = make_parser(
        f"Train one fold of {recipe.name} and write {recipe.name}_<fold>.pth.",
        f"python train_{recipe.name}.py --fold 0 --n_folds 6",
    )
    parser.add_argument("--fold", type=int, default=0, help="which fold to hold out, from 0 (default: %(default)s)")
    add_training_arguments(parser)
    arguments = parser.parse_args()
    options = training_options(arguments, parser)
    job = training.make_job(recipe, arguments.fold, options)
    if not options.overwrite and training.is_finished(job):
        if is_first_process():
            print(f"{job.checkpoint_path} is finished already; --overwrite trains it again")
        return
    training.train_fold(job, restart=options.overwrite)
    leave()
