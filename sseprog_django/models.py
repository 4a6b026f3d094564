"""A job as the admin knows it: a name for permissions. There is no table; the hub has the jobs."""

from django.db import models

__all__ = ["Job"]


class _NoTable(models.Manager["Job"]):
    """Find nothing, and don't look: ``dumpdata`` asks every model there is."""

    def get_queryset(self) -> models.QuerySet["Job"]:
        return super().get_queryset().none()


class Job(models.Model):
    """A job. Who may see them all has ``view_job``, who may stop them has ``cancel_job``."""

    job_id: "models.CharField[str, str]" = models.CharField("job", max_length=128, primary_key=True)

    objects = _NoTable()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions = ("view",)
        permissions = (("cancel_job", "Can cancel job"),)

    def __str__(self) -> str:
        return self.job_id
