"""What `ninety site serve` does again after an edit: the pages that the edit changed, and nothing else.

MkDocs makes the whole site anew for each save, which takes seconds at two hundred pages. Its `--dirty` skips what was
not edited, and with it the new title that every other page's menu should show. Here a page is read again when its
Markdown changed, or the files that it may link to, and written again when anything that can be seen in it did: its
text, its title and front matter, the menu, the settings, the theme.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from mkdocs.utils.yaml import get_yaml_loader, yaml_load

Entry: TypeAlias = "dict[str, Any]"
"""A section of a page as Material's search keeps it; its `location` is the page's address, with the section's id."""


class SearchIndex(Protocol):
    entries: list[Entry]


class Preview:
    """What was read and written last, kept from one build to the next."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[Hashable, dict[str, Any]]] = {}
        self._written: dict[str, tuple[Path, Hashable]] = {}
        self._found: dict[str, list[Entry]] = {}
        self._settings = ""
        self._files = Files([])
        self._addresses: Hashable = None
        self._around: Hashable = None

    def files(self, files: Files, config: MkDocsConfig) -> Files:
        """The same, with pages that know whether they must be written again."""
        with open(config.config_file_path, encoding="utf-8") as file_of_settings:
            self._settings = repr(yaml_load(file_of_settings, get_yaml_loader()))
        for file in files.documentation_pages(inclusion=InclusionLevel.is_in_serve):
            ours = PreviewFile(file.src_uri, file.src_dir, file.dest_dir, file.use_directory_urls,
                               dest_uri=file.dest_uri, inclusion=file.inclusion)
            ours.preview, ours.generated_by, ours.edit_uri = self, file.generated_by, file.edit_uri
            ours.abs_src_path = file.abs_src_path
            if file.abs_src_path is None:
                ours.content_string = file.content_string
            files.remove(file)
            files.append(ours)
        self._files = files
        self._addresses = hash(frozenset((file.src_uri, file.url) for file in files))
        return files

    def reads(self, page: Page) -> None:
        """Have the page read its Markdown only when that, or what it may link to, has changed."""
        page.render = partial(self._render, page)  # type: ignore[method-assign]  # MkDocs makes the pages, not we

    def _render(self, page: Page, config: MkDocsConfig, files: Files) -> None:
        path, key = page.file.src_uri, (page.markdown, self._addresses, self._settings)
        before, made = self._read.get(path, (None, {}))
        if before != key:
            Page.render(page, config, files)
            made = {name: getattr(page, name) for name in ("content", "toc", "_title_from_render",
                                                           "present_anchor_ids", "links_to_anchors")}
            self._read[path] = key, made
        vars(page).update(made)
        # They name the files of the build that read them, and this build has its own.
        links = made["links_to_anchors"] or {}
        page.links_to_anchors = {here: found for file, found in links.items()
                                 if (here := files.get_file_from_path(file.src_uri))}

    def surround(self, config: MkDocsConfig) -> None:
        """Note what every page shows or is made with beside its own words. All pages have been read by now."""
        menu = config.nav, [(page.url, page.title) for page in self._pages()]
        theme = [(str(file), file.stat().st_mtime_ns) for folder in config.theme.dirs[:1]
                 for file in sorted(Path(folder).rglob("*")) if file.is_file()]
        self._around = hash(repr((menu, self._settings, config.extra, theme)))

    def changed(self, page: Page) -> bool:
        """Whether it would be written otherwise than it was; asked when it is about to be."""
        file = Path(page.file.abs_dest_path)
        key = hash((page.content, repr(page.meta), page.title, page.edit_url, self._around))
        same = self._written.get(page.file.src_uri) == (file, key) and file.exists()
        self._written[page.file.src_uri] = file, key
        return not same

    def finish(self, config: MkDocsConfig) -> None:
        """Take away the pages that are no more, and give the search what it knew of those not written again."""
        pages = self._pages()
        for gone in self._written.keys() - {page.file.src_uri for page in pages}:
            self._written.pop(gone)[0].unlink(missing_ok=True)
            self._read.pop(gone, None)
        search: Any = config.plugins.get("material/search") or config.plugins.get("search")
        if not hasattr(search, "search_index"):
            return
        index: SearchIndex = search.search_index
        # Material's own way to keep them is for one edited page, and forgets the rest when that is the home page.
        search.search_index_prev = None
        fresh: dict[str, list[Entry]] = {}
        for entry in index.entries:
            fresh.setdefault(entry["location"].partition("#")[0], []).append(entry)
        self._found = {page.url: fresh.get(page.url) or self._found.get(page.url, []) for page in pages}
        index.entries = [entry for found in self._found.values() for entry in found]

    def _pages(self) -> list[Page]:
        return [file.page for file in self._files if isinstance(file, PreviewFile) and file.page]


class PreviewFile(File):
    preview: Preview

    def is_modified(self) -> bool:
        """MkDocs asks twice with `--dirty`: before the page is read, which we always do, and before it is written."""
        return self.page is None or self.page.content is None or self.preview.changed(self.page)

