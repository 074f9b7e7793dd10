"""Usage: pages.py ROOT OUT
Writes README, CONTRIBUTING, CHANGELOG and docs/ as Doxygen's Markdown to OUT: headings get the ids that their links on
GitHub have, behind the page's name; links between pages become links of the site, and sources that are linked become
pages. Pictures lie in OUT/pictures, for the site's HTML. Fails where a link leads to no page or heading."""

import html
import os
import pathlib
import re
import shutil
import sys

ROOT, OUT = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
LANGUAGES = {".cpp": "cpp", ".hpp": "cpp", ".cuh": "cpp", ".py": "py", ".sh": "sh", ".toml": "ini"}
PICTURES = {".svg", ".png", ".jpg"}


def slug(heading):
    """As GitHub makes it of a heading's text."""
    text = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")


def name_of(path):
    """A file's page in the site."""
    if path.name == "README.md" and path.parent != ROOT:
        return path.parent.name
    if path.suffix == ".md":
        return path.stem.lower().replace("_", "-")
    return str(path.relative_to(ROOT)).replace("/", "-").replace(".", "-").replace("_", "-")


def picture_of(path):
    return name_of(path.with_suffix("")) + path.suffix


def split(text):
    """Pairs of whether lines are a block of code, and the lines."""
    parts, code = [[False, []]], False
    for line in text.splitlines():
        fence = line.lstrip().startswith("```")
        if fence and not code:
            parts.append([True, [line]])
            code = True
        else:
            parts[-1][1].append(line)
            if fence:
                code = False
                parts.append([False, []])
    return parts


class Site:
    def __init__(self):
        files = [ROOT / name for name in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]]
        exported = set((ROOT / "docs/results").glob("*/table.md"))  # which docs/results.md holds
        files += sorted(set((ROOT / "docs").rglob("*.md")) - exported)
        files += sorted((ROOT / "examples").rglob("*.md"))
        self.pages = {path: path.read_text(encoding="utf-8") for path in files}
        self.headings = {path: self.headings_of(text) for path, text in self.pages.items()}
        self.sources, self.pictures, self.errors = set(), set(), []

    @staticmethod
    def headings_of(text):
        prose = "\n".join(line for code, lines in split(text) if not code for line in lines)
        return [slug(heading) for heading in re.findall(r"^#+ (.*)$", prose, re.M)]

    def target(self, page, link):
        """Where a link leads in the site; nothing for what has no page."""
        if re.match(r"[a-z]+:", link):
            return link
        file, _, anchor = link.partition("#")
        path = pathlib.Path(os.path.normpath(page.parent / file)) if file else page
        if path in self.pages:
            if anchor and anchor not in self.headings[path]:
                self.errors.append(f"{page.relative_to(ROOT)}: links to {link}, but there is no such heading")
            place = anchor and anchor != self.headings[path][0]
            return f"{self.file_of(path)}.html" + (f"#{name_of(path)}-{anchor}" if place else "")
        if path.is_dir():
            return None
        if not path.is_file():
            self.errors.append(f"{page.relative_to(ROOT)}: links to {link}, which is not there")
            return None
        if path.suffix in PICTURES:
            self.pictures.add(path)
            return picture_of(path)
        self.sources.add(path)
        return f"{name_of(path)}.html"

    def file_of(self, path):
        return "index" if path == ROOT / "README.md" else name_of(path)

    def prose(self, page, text):
        """Text without blocks of code. What is in backticks stays as it is, but for the label of a link."""

        def link(match):
            where = self.target(page, match[2])
            label = re.sub("`([^`]*)`", r"\1", match[1].replace("\n", " "))
            return f"[{label}]({where})" if where else match[1]

        text = re.sub(r"\[([^][]+)\]\(([^) ]+)\)", link, text)
        # Doxygen's own marks. A pair of backticks closes on one line.
        parts = re.split(r"(`[^`]*`|\]\([^)]*\))", text)
        for i, part in enumerate(parts):
            if i % 2 == 0:
                parts[i] = re.sub(r"(?<!\\)(@(?=\w)|\\(?=[A-Za-z]))", r"\\\1", part).replace("::", "\\::")
            elif part.startswith("`"):
                parts[i] = re.sub(r"\s*\n\s*", " ", part)
                if "'" in part:  # which ends what a backtick begins
                    parts[i] = f"<code>{html.escape(parts[i].strip('`'), quote=False)}</code>"
        return "".join(parts)

    def heading(self, page, line, first):
        level, title = re.match(r"(#+) (.*)", line).groups()
        identity = self.file_of(page) if first else f"{name_of(page)}-{slug(title)}"
        identity = "mainpage" if identity == "index" else identity
        return f"{level} {title.replace('`', '')} {{#{identity}}}"

    def page(self, path):
        result, first = [], True
        for code, lines in split(self.pages[path]):
            if code:
                result += [re.sub(r"^(\s*```)(\w+).*", r"\1{.\2}", lines[0])] + lines[1:]
                continue
            begin = 0
            for i, line in enumerate(lines + ["# end"]):
                if not re.match("#+ ", line):
                    continue
                result.append(self.prose(path, "\n".join(lines[begin:i])))
                if i < len(lines):
                    result.append(self.heading(path, line, first))
                    first = False
                begin = i + 1
        return "\n".join(result) + "\n"

    def write(self):
        (OUT / "pictures").mkdir(parents=True, exist_ok=True)
        for path in self.pages:
            (OUT / f"{self.file_of(path)}.md").write_text(self.page(path), encoding="utf-8")
        for path in self.pictures:
            shutil.copyfile(path, OUT / "pictures" / picture_of(path))
        for path in self.sources:
            text = path.read_text(encoding="utf-8")
            language = LANGUAGES.get(path.suffix, "txt")
            (OUT / f"{name_of(path)}.md").write_text(
                f"# {path.relative_to(ROOT)} {{#{name_of(path)}}}\n\n```{{.{language}}}\n{text}```\n", encoding="utf-8"
            )
        names = sorted(f"* \\subpage {name_of(path)}" for path in self.sources)
        (OUT / "sources.md").write_text("# Sources that pages link {#sources}\n\n" + "\n".join(names) + "\n")
        # The site's tree has the pages in README's order.
        links = re.findall(r"\]\(([^)#]+)\)", self.pages[ROOT / "README.md"].partition("## More")[2])
        listed = [ROOT / "README.md", *(ROOT / link for link in links)]
        if missing := sorted(str(path.relative_to(ROOT)) for path in set(self.pages) - set(listed)):
            self.errors.append(f"README.md: lists all pages at its end but {', '.join(missing)}")
        order = [f"{self.file_of(path)}.md" for path in listed if path in self.pages]
        order += ["sources.md", *(f"{name_of(path)}.md" for path in sorted(self.sources))]
        (OUT / "order").write_text("".join(f'"{(OUT / name).resolve()}"\n' for name in order), encoding="utf-8")
        for error in self.errors:
            print(error, file=sys.stderr)
        return 1 if self.errors else 0


sys.exit(Site().write())
