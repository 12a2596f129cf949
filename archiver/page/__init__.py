"""The page that people look at: static files, served as they are, that ask the archive's HTTP calls for everything."""

from archiver.page.files import page_routes

__all__ = ["page_routes"]
