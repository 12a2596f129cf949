"""`python -m archiver.retrieval`: serve an archive over HTTP."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from archiver.retrieval.mounts import Place

app = typer.Typer(add_completion=False)


@app.command()
def main(
    site: Annotated[Path | None, typer.Option(help="The site file; [archiver] says where to listen.")] = None,
    state: Annotated[Path | None, typer.Option(help="The site's state folder, instead of the site file's.")] = None,
    folder: Annotated[Path | None, typer.Option(help="The archive's folder, without a site.")] = None,
    http: Annotated[list[str] | None, typer.Option(help="Where to listen, host:port; may be given again.")] = None,
    access_log: Annotated[Path | None, typer.Option(help="A file to log requests in, a line each.")] = None,
) -> None:
    """Serve an archive over HTTP, in the words of the Archiver Appliance, until told to stop."""
    from archiver.retrieval.mounts import Place
    from archiver.retrieval.server import run

    if folder is not None and site is None:
        raise typer.Exit(run(Place(folder, access_log=access_log), http or ["127.0.0.1:17665"]))
    if site is None or folder is not None:
        raise typer.BadParameter("give either --site FILE or --folder DIR")
    place = replace(_of_site(site, state), access_log=access_log)
    raise typer.Exit(run(place, http or place.config.http))


def _of_site(path: Path, state: Path | None) -> Place:
    """The archive that a site file describes."""
    from archiver.config import ArchiverConfig
    from archiver.retrieval.mounts import Place
    from owlshift.site import SiteError, load_site

    try:
        site = load_site(path, state)
    except SiteError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from error
    config = site.services.get("archiver")
    if not isinstance(config, ArchiverConfig):
        print(f"{path}: there is no [archiver] section", file=sys.stderr)
        raise typer.Exit(2)
    return Place(config.archive_folder(site.state), config, config.store_folders(site.state), site)


if __name__ == "__main__":
    app()
