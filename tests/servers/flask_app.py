"""The application under test: Flask, with Flask-Login."""

from flask import Flask, Request
from flask_login import LoginManager, UserMixin

from sseprog import Hub
from sseprog.testing import authorize_under_test, remote_control
from sseprog_flask import SSEProg


class User(UserMixin):
    def __init__(self, number: str) -> None:
        self.id = number


hub = Hub()
remote_control(hub)
app = Flask(__name__)
app.secret_key = "for tests"
SSEProg(app, hub, url_prefix="/jobs", authorize=authorize_under_test())
login = LoginManager(app)


@login.request_loader
def user_of(request: Request) -> User | None:
    number = request.headers.get("X-User")
    return User(number) if number else None


@app.get("/ping")
def ping() -> str:
    return "pong"
