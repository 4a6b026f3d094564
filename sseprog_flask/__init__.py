"""Mount the progress of jobs in a Flask application.

    app = Flask(__name__)
    hub = SSEProg(app).hub

or, with an application factory,

    progress = SSEProg()
    progress.init_app(app)  # and then, in a request or an application context: progress.hub
"""

from sseprog.errors import MissingExtra

try:
    from ._extension import Authorize, SSEProg
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"flask", "werkzeug", "click", "markupsafe"}:
        raise
    raise MissingExtra('sseprog_flask needs Flask: pip install "sseprog[flask]"') from error

__all__ = ["Authorize", "SSEProg"]
