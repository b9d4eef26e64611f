"""The pages of the guide for MkDocs: their nav, their files, and where to edit them.

`mkdocs build` stops at a broken guide with every problem. `mkdocs serve` goes on with the last good pages and a banner
that names the lines, so that a slip while writing does not take the preview away.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import yaml
from jinja2 import Environment, FileSystemBytecodeCache
from mkdocs.config import config_options
from mkdocs.config.base import Config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.livereload import LiveReloadServer
from mkdocs.plugins import BasePlugin, event_priority, get_plugin_logger
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page as MkDocsPage
from watchdog.observers.polling import PollingObserver

from content.loading import GuideError, load
from content.model import Guide
from docs import cards
from docs.calendar_files import calendars
from docs.pages import HAND_WRITTEN, TEMPLATES, Page, hand_written, nav, pages, plain
from docs.pictures import keeping
from docs.preview import Preview
from docs.takeaway import files as taken_away

log = get_plugin_logger("ninety")

EDIT = {"github.com": "edit/main/", "gitlab.com": "-/edit/main/", "codeberg.org": "_edit/main/"}
"""Where a host lets people edit a file of the branch `main`."""


class NinetyConfig(Config):  # type: ignore[no-untyped-call]  # MkDocs types most of itself, not this
    guide = config_options.Type(str, default="content/guide.yaml")
    """From mkdocs.yml to the guide."""
    edit = config_options.Optional(config_options.Type(str))
    """From the repository to the place where files are edited, for hosts that we do not know: `edit/main/`."""


class NinetyPlugin(BasePlugin[NinetyConfig]):  # type: ignore[no-untyped-call]  # as above
    def __init__(self) -> None:
        self.serving = False
        self.pages: tuple[Page, ...] = ()
        self.files: dict[str, str] = {}
        self.lines: dict[tuple[str | int, ...], int] = {}
        self.title = ""
        self.cards: dict[str, cards.Card] = {}
        self.repository: str | None = None
        self.problems: tuple[str, ...] = ()
        self.preview = Preview()

    def on_startup(self, *, command: Literal["build", "gh-deploy", "serve"], dirty: bool) -> None:
        # MkDocs keeps a plugin between rebuilds only when it has this method.
        self.serving = command == "serve"
        if self.serving and dirty:
            # It warns of wrong menus, which is what docs/preview.py is for.
            logging.getLogger("mkdocs.commands.build").addFilter(lambda record: "'dirty'" not in str(record.msg))

    def on_config(self, config: MkDocsConfig) -> MkDocsConfig:
        """Raises PluginError with every problem of the guide, unless the site is being served."""
        root = Path(config.config_file_path).parent
        self.path = root / self.config.guide
        # Compiling the templates takes three times as long as filling them.
        compiled = root / ".cache/ninety-templates"
        compiled.mkdir(parents=True, exist_ok=True)
        TEMPLATES.bytecode_cache = self.compiled = FileSystemBytecodeCache(str(compiled))
        try:
            guide = load(self.path)
        except GuideError as error:
            if not self.serving:
                raise PluginError(f"The guide cannot be used.\n{error}") from None
            self.problems = tuple(map(str, error.problems))
            log.error("The guide is broken, the last good site stays up.\n%s", error)
        else:
            self._keep(guide, root, config.site_url or "")
        everything = (*(self.pages or (self._problem_page(),)), *hand_written(Path(config.docs_dir)))
        config.nav = nav(replace(page, title=escape(page.title), place=tuple(map(escape, page.place)))
                         for page in everything)
        # While serving MkDocs has an address of its own here, which nobody shares.
        shared = config.site_url and not self.serving
        self.cards = config.extra["cards"] = cards.cards(everything, self.title) if shared else {}
        config.extra["problems"] = self.problems
        config.extra["repository"] = self.repository
        config.edit_uri = self._edit_uri()
        return config

    def _keep(self, guide: Guide, root: Path, site: str) -> None:
        self.pages = pages(guide, keeping(root / ".cache/ninety-pictures"))
        self.files = taken_away(guide, self.pages, site and f"{site.rstrip('/')}/") | dict(calendars(guide))
        self.repository, self.title = guide.about.repository, plain(guide.about.title)
        # Not in a preview: a line put in would change the edit link of every page below it.
        wanted = self.repository and not self.serving
        self.lines = _lines(self.path.read_text(encoding="utf-8")) if wanted else {}
        self.problems = ()

    def on_files(self, files: Files, *, config: MkDocsConfig) -> Files:
        for path in HAND_WRITTEN:
            if file := files.get_file_from_path(path):
                file.edit_uri = f"docs/{path}"
        for page in self.pages or (self._problem_page(),):
            inclusion = InclusionLevel.INCLUDED if page.listed else InclusionLevel.NOT_IN_NAV
            file = File.generated(config, page.path, content=page.markdown, inclusion=inclusion)
            file.edit_uri = self._edit_path(page, Path(config.config_file_path).parent)
            files.append(file)
        for path, text in self.files.items():
            # As bytes, because a calendar ends its lines with CR LF.
            files.append(File.generated(config, path, content=text.encode(), inclusion=InclusionLevel.INCLUDED))
        draw = cards.keeping(Path(config.config_file_path).parent / ".cache/ninety-cards")
        for card in self.cards.values():
            files.append(File.generated(config, card.path, content=draw(card.title, card.section),
                                        inclusion=InclusionLevel.INCLUDED))
        return self.preview.files(files, config) if self.serving else files

    def on_pre_page(self, page: MkDocsPage, /, *, config: MkDocsConfig, files: Files) -> MkDocsPage:
        if self.serving:
            self.preview.reads(page)
        return page

    def on_env(self, env: Environment, /, *, config: MkDocsConfig, files: Files) -> Environment:
        env.bytecode_cache = self.compiled
        if self.serving:
            self.preview.surround(config)
        return env

    @event_priority(50)     # before the search writes its index
    def on_post_build(self, *, config: MkDocsConfig) -> None:
        if self.serving:
            self.preview.finish(config)

    def on_post_template(self, output: str, /, *, template_name: str, config: MkDocsConfig) -> str:
        # Without the site's own address a site map would be a list of nothing; what is empty is not written.
        return "" if template_name == "sitemap.xml" and not config.site_url else output

    def on_page_markdown(self, markdown: str, *, page: MkDocsPage, config: MkDocsConfig, files: Files) -> str:
        # Material puts these into its HTML as they are; in front matter they are plain words.
        for name in {"title", "description"} & page.meta.keys():
            page.meta[name] = escape(str(page.meta[name]))
        return markdown

    @event_priority(100)    # before others add what they watch
    def on_serve(self, server: LiveReloadServer, *, config: MkDocsConfig, builder: object) -> LiveReloadServer:
        for path in (config.docs_dir, config.config_file_path):
            server.unwatch(path)
        # MkDocs looks twice a second, and then waits until nothing has changed for a tenth.
        server.observer, server.build_delay = PollingObserver(timeout=0.1), 0.05
        for path in (config.docs_dir, config.config_file_path):
            server.watch(path)
        # The folder and not the file: an editor that saves by renaming leaves a watched file behind for ever.
        server.watch(str(self.path.parent), recursive=False)
        return server

    def _edit_uri(self) -> str | None:
        """The whole address up to the file's path; none rather than a guess.

        `repo_url` stays empty, for with it Material asks the repository's host how many stars it has.
        """
        if not self.repository:
            return None
        below = self.config.edit or EDIT.get(urlsplit(self.repository).hostname or "")
        return f"{self.repository.rstrip('/')}/{below.strip('/')}/" if below else None

    def _edit_path(self, page: Page, root: Path) -> str | None:
        """The guide below the root of the repository, at the page's line; None for a guide from somewhere else."""
        if not self.path.resolve().is_relative_to(root.resolve()):
            return None
        line = self.lines.get(page.shows)
        return self.path.resolve().relative_to(root.resolve()).as_posix() + (f"#L{line}" if line else "")

    def _problem_page(self) -> Page:
        """All that can be shown when the guide was broken from the start."""
        listed = "\n".join(f"    {problem}" for problem in self.problems)
        text = f"# The guide cannot be shown yet\n\nMend this, and the site appears:\n\n{listed}\n"
        return Page("index.md", "Home", text)


def _lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Where each place of the guide begins: path → line, counted from 1; down to a plan's steps, which have pages."""
    found: dict[tuple[str | int, ...], int] = {}

    def walk(node: yaml.Node, path: tuple[str | int, ...]) -> None:
        if len(path) > 4:
            return
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                found[(*path, key.value)] = key.start_mark.line + 1
                walk(value, (*path, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                found[(*path, index)] = item.start_mark.line + 1
                walk(item, (*path, index))

    if root := yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        walk(root, ())
    return found
