"""The command line: ``neurodyn list``, ``run STUDY``, ``train NETWORK``, ``sweep``, ``agl``.

A command's options are the keyword arguments of the function it calls, its help is the docstring.
"""

import importlib
import inspect
import linecache
import pkgutil
import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

import neurodyn as nd
from neurodyn import studies

app = App(
    name="neurodyn",
    help="Brain dynamics inside convolutional networks, as ordinary differential equations.",
    version=nd.__version__,
    default_parameter=Parameter(consume_multiple=True, negative=()),
    suppress_keyboard_interrupt=False,
    result_action="return_none",
)
run = App(
    name="run", help="Run a study; `neurodyn list` says which, `neurodyn run STUDY --help` how."
)
train = App(name="train", help="Train the weights of a network that ships with neurodyn.")
sweep = App(name="sweep", help="Train networks over a published grid of hyper-parameters.")
agl = App(
    name="agl",
    help="Artificial grammar learning: make the experiment for people.",
    default_parameter=Parameter(accepts_keys=False),  # --grammar is a name, not its parts
    result_action=print,  # where the page is, on one line however long
)
for command in (run, train, sweep, agl):
    app.command(command)


def study_names() -> list[str]:
    """Return the names of the studies: one module each, with a function of the same name.

    What studies share has a name that begins with an underscore.
    """
    names = (module.name for module in pkgutil.iter_modules(studies.__path__))
    return sorted(name for name in names if not name.startswith("_"))


for name in study_names():
    run.command(f"neurodyn.studies.{name}:{name}", name=name.replace("_", "-"))
train.command("neurodyn.models.train_predify:train_predify", name="predify")
train.command("neurodyn.models.train_komplexnet:train_komplexnet", name="komplexnet")
train.command("neurodyn.models.train_feedback:train_feedback", name="feedback")
train.command("neurodyn.models.train_decoders:train_decoders", name="decoders")
train.command("neurodyn.models.train_gaspnet:train_gaspnet", name="gaspnet")
train.command("neurodyn.models.train_gattanet:train_gattanet", name="gattanet")
sweep.command("neurodyn.models.sweep_grammar:sweep_grammar", name="agl")
agl.command("neurodyn.experiment.page:experiment", name="experiment")


@app.command(name="list")
def list_studies() -> None:
    """List the studies that can be run."""
    names = study_names()
    width = max(map(len, names))
    for name in names:
        function = getattr(importlib.import_module(f"neurodyn.studies.{name}"), name)
        shown = name.replace("_", "-")
        print(f"{shown:<{width}}  {(inspect.getdoc(function) or '').partition(chr(10))[0]}")


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 (what was asked cannot be), 130 (Ctrl-C)."""
    try:
        app(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return refuse(error)
    except (ValueError, TypeError, ImportError) as error:
        if not raised_here(error):
            raise
        return refuse(error)
    except (nd.SolverError, OSError) as error:
        return refuse(error)
    except KeyboardInterrupt:
        print(
            "\nneurodyn: interrupted; the same command goes on where this one stopped",
            file=sys.stderr,
        )
        return 130
    return 0


def refuse(error: Exception) -> int:
    """Say in one line what was wrong with what was asked."""
    print("neurodyn:", " ".join(str(error).split()), file=sys.stderr)
    return 2


def raised_here(error: Exception) -> bool:
    """Tell a refusal, raised by neurodyn in so many words, from a fault, which keeps its trace."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    statement = linecache.getline(frame.f_code.co_filename, line).lstrip()
    module = str(frame.f_globals.get("__name__", ""))
    return module.startswith("neurodyn.") and statement.startswith("raise ")
