"""The admin's pages: for whom, and what is on them."""

from collections.abc import Callable
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.test import Client, override_settings

from sseprog import Hub, JobFailed

LIST = "/admin/sseprog/job/"


@pytest.fixture
def jobs(hub: Hub) -> Hub:
    hub.create("import_42", owner=2)
    with hub.job("import_42") as job:
        job.update(41.5, stage="reading", message="<b>chapter</b> 3", details={"rows": 512})
        job.update(42, stage="reading", message="<b>chapter</b> 3")
    with pytest.raises(JobFailed), hub.job("bad") as job:
        raise JobFailed("No header row.")
    hub.create("waiting")
    return hub


@pytest.mark.parametrize(
    "path",
    [
        "",
        "rows/",
        "import_5F42/change/",
        "live/import_42",
        "live/import_42/stream",
        "live/static/x",
    ],
)
@pytest.mark.parametrize(
    ("user", "status"), [("", 302), ("alice", 302), ("clerk", 403), ("viewer", 200), ("chief", 200)]
)
def test_only_who_may_view_jobs_sees_them(
    jobs: Hub, as_user: Callable[[str], Client], client: Client, path: str, user: str, status: int
) -> None:
    visitor = as_user(user) if user else client
    answer = visitor.get(LIST + path)
    expected = 404 if (status, path) == (200, "live/static/x") else status
    assert answer.status_code == expected
    answer.close()


def test_the_newest_jobs_are_listed(jobs: Hub, as_user: Callable[[str], Client]) -> None:
    html = as_user("viewer").get(LIST).content.decode()
    positions = [html.index(f'data-job="{job}"') for job in ("waiting", "bad", "import_42")]
    assert positions == sorted(positions)
    assert "No header row." in html
    assert "&lt;b&gt;chapter&lt;/b&gt; 3" in html
    assert '<a href="/admin/sseprog/job/import_5F42/change/">import_42</a>' in html
    assert '<td class="sseprog-wide">2</td>' in html
    assert "style=" not in html.partition('id="content-main"')[2], "a strict policy forbids it"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"waiting", "bad", "import_42"}),
        ("?status=failed", {"bad"}),
        ("?status=running", set()),
        ("?status=%3Cb%3E", set()),
        ("?q=port", {"import_42"}),
        ("?q=port&status=failed", set()),
        ("?q=/../", set()),
        ("?q=%00", set()),
    ],
)
def test_jobs_are_searched_and_filtered(
    jobs: Hub, as_user: Callable[[str], Client], query: str, expected: set[str]
) -> None:
    viewer = as_user("viewer")
    for path in ("", "rows/"):
        html = viewer.get(LIST + path + query).content.decode()
        shown = {job for job in ("waiting", "bad", "import_42") if f'data-job="{job}"' in html}
        assert shown == expected


def test_the_page_of_a_job_is_live_and_cancels_for_who_may(
    jobs: Hub, as_user: Callable[[str], Client]
) -> None:
    page = f"{LIST}waiting/change/"
    viewed = as_user("viewer").get(page).content.decode()
    assert f'src="{LIST}live/waiting/stream"' in viewed
    assert "cancellable" not in viewed
    assert "cancellable csrf-token=" in as_user("chief").get(page).content.decode()
    assert as_user("viewer").post(f"{LIST}live/waiting/cancel").status_code == 403
    assert jobs.snapshot("waiting").status == "pending"


def test_cancelling_needs_the_token_and_is_logged(
    jobs: Hub, as_user: Callable[[str], Client]
) -> None:
    chief = as_user("chief")
    chief.handler.enforce_csrf_checks = True
    assert chief.post(f"{LIST}live/waiting/cancel").status_code == 403
    token = str(chief.get(f"{LIST}waiting/change/").context["token"])
    cancelled = chief.post(f"{LIST}live/waiting/cancel", headers={"X-CSRFToken": token})
    assert cancelled.status_code == 202
    assert jobs.snapshot("waiting").status == "cancelled"
    entry = LogEntry.objects.latest("pk")
    assert (entry.object_id, entry.user.username) == ("waiting", "chief")
    again = chief.post(f"{LIST}live/waiting/cancel", headers={"X-CSRFToken": token})
    assert again.status_code == 409


def test_staff_see_jobs_that_are_not_theirs(jobs: Hub, as_user: Callable[[str], Client]) -> None:
    viewer = as_user("viewer")
    assert viewer.get("/jobs/import_42").status_code == 404
    assert viewer.get(f"{LIST}live/import_42").json()["status"] == "completed"
    stream = b"".join(viewer.get(f"{LIST}live/import_42/stream"))  # type: ignore[call-overload]
    assert b"event: complete" in stream


def test_a_job_that_is_gone_leads_back_to_the_list(
    jobs: Hub, as_user: Callable[[str], Client]
) -> None:
    answer = as_user("viewer").get(f"{LIST}nope/change/", follow=True)
    assert answer.redirect_chain == [(LIST, 302)]
    assert "There is no job “nope”" in answer.content.decode()


def test_the_index_of_the_admin_links_to_the_list(
    jobs: Hub, as_user: Callable[[str], Client]
) -> None:
    assert f'href="{LIST}"' in as_user("viewer").get("/admin/").content.decode()
    assert f'href="{LIST}"' not in as_user("clerk").get("/admin/").content.decode()
    for path in ("add/", "waiting/delete/", "waiting/history/"):
        assert as_user("chief").get(LIST + path).status_code == 404


def test_there_is_nothing_to_migrate(people: None) -> None:
    told = StringIO()
    call_command("makemigrations", check_changes=True, dry_run=True, stdout=told)
    assert "No changes detected" in told.getvalue()


def test_dumping_the_database_skips_what_has_no_table(people: None) -> None:
    for everything in (True, False):
        dumped = StringIO()
        call_command("dumpdata", "sseprog", use_base_manager=everything, stdout=dumped)
        assert dumped.getvalue().strip() == "[]"


@override_settings(SSEPROG={"MAX_JOBS": 200})
def test_a_job_that_is_not_among_the_newest_is_found_by_its_id(
    hub: Hub, as_user: Callable[[str], Client]
) -> None:
    for number in range(120):
        hub.create(f"job-{number}")
    viewer = as_user("viewer")
    html = viewer.get(LIST).content.decode()
    assert html.count("data-job=") == 100
    assert 'data-job="job-0"' not in html
    assert 'data-job="job-5"' in viewer.get(f"{LIST}?q=job-5").content.decode()
    assert 'data-job="job-7"' in viewer.get(f"{LIST}?q=job-7").content.decode()
