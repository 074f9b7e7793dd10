"""Usage: search_documents.py XML OUT
Writes what the site's search finds to the script OUT: the sections of all pages and what the reference says of each
name, as [link, page, heading, text], from Doxygen's XML in the folder XML. Sources have no page, as names. Of programs
nothing is found; nor are the questions of newcomers, which would be found in place of their answers."""

import json
import pathlib
import sys
import xml.etree.ElementTree

LEFT_OUT = {"start-questions"}
SECTIONS = [f"sect{level}" for level in range(1, 7)]
CODE = ["programlisting", "verbatim"]


def text_of(element, without=(*CODE, "title", *SECTIONS)):
    """The plain text in an element, with one space between words."""
    parts = [element.text or ""]
    for child in element:
        parts += ["" if child.tag in without else text_of(child, without), child.tail or ""]
        if child.tag in ("para", "entry", "listitem"):
            parts.append(" ")
    return " ".join("".join(parts).split())


def link(compound, identity):
    """Where Doxygen's HTML has what its XML calls so: a page, or an anchor of one."""
    if identity == compound:
        return "index.html" if compound == "indexpage" else f"{compound}.html"
    page, _, anchor = identity.rpartition("_1")
    return f"{page}.html#{anchor}"


def sections(page, compound, title, element):
    """Documents of a page's part and the sections in it. Their text in Doxygen's XML lies in them."""
    identity = element.get("id", compound)
    if identity.removeprefix(f"{compound}_1") not in LEFT_OUT:
        yield [link(compound, identity), page, title, text_of(element)]
    for part in element.iter():
        if part.tag in SECTIONS and part in list(element):
            yield from sections(page, compound, text_of(part.find("title"), ()), part)


def comment(element):
    parts = (element.find(f"{part}description") for part in ("brief", "detailed"))
    return " ".join(filter(None, (text_of(part, CODE) for part in parts if part is not None)))


def reference(compound):
    """Documents of a type or namespace and its members, where a comment says something of them."""
    if compound.get("prot", "public") != "public":
        return
    name = compound.findtext("compoundname")
    for element in [compound, *compound.iter("memberdef")]:
        text = comment(element)
        own = element.findtext("qualifiedname") or name
        if text and text != "As above." and element.get("prot", "public") == "public":
            yield [link(compound.get("id"), element.get("id")), "", own.removeprefix("lpw::"), text]


def documents(folder):
    sources = {page.get("refid") for page in xml.etree.ElementTree.parse(folder / "sources.xml").iter("innerpage")}
    for path in sorted(folder.glob("*.xml")):
        for compound in xml.etree.ElementTree.parse(path).iter("compounddef"):
            kind, title = compound.get("kind"), compound.findtext("title") or ""
            if kind == "page":
                page = "" if compound.get("id") in sources else title
                yield from sections(page, compound.get("id"), title, compound.find("detaileddescription"))
            elif kind in ("class", "struct", "namespace", "concept"):
                yield from reference(compound)


found = {document[0]: document for document in documents(pathlib.Path(sys.argv[1]))}
lines = ",\n".join(json.dumps(document, ensure_ascii=False) for document in found.values())
pathlib.Path(sys.argv[2]).write_text(f"var searchDocuments = [\n{lines}\n];\n", encoding="utf-8")
