// The site's search: lunr's index (BM25) of what search_documents.py found, made when a reader begins to search. All of
// it are scripts, which a browser loads from files too.
"use strict";

// What is found of a text, word by word: what hyphens, dots and the like join, and names, whole and then by their parts
// (pkg-config, metrics.csv, load_safetensors, BatchLoader); and options of compilers by their names (-DLPW_NATIVE=ON).
function wordsOf(text) {
  const options = [...text.matchAll(/(?:^|\W)-D(\w+)/g)].map((option) => option[1]);
  const words = [...options, ...(text.match(/\w+(?:(?:[-.]|::)\w+)*/g) || [])];
  return words.map((word) => [...new Set([word, ...partsOf(word)].map(plain))]);
}

function partsOf(word) {
  const names = word.match(/\d+\.[\d.]+|\w+/g);
  const parts = (name) => name.replace(/([a-z])([A-Z])/g, "$1_$2").split("_").filter(Boolean);
  return names.flatMap((name) => [name, ...parts(name)]);
}

// Warm-up is warmup, and a number stays one.
function plain(word) {
  return word.replace(/[-_:]|\.(?!\d)/g, "").toLowerCase();
}

// Pages come before their sources and the reference, where all have the words.
function makeIndex(documents) {
  const terms = (text) => wordsOf(text).flat();
  return lunr(function () {
    this.ref("at");
    this.field("heading", { boost: 6 });
    this.field("page", { boost: 2 });
    this.field("text");
    documents.forEach(([, page, heading, text], at) => {
      const document = { at, page: terms(page), heading: terms(heading), text: terms(text) };
      this.add(document, { boost: page ? 8 : 1 });
    });
  });
}

function asked(question) {
  const words = wordsOf(question).map((terms) => terms.filter((term) => lunr.stopWordFilter(term)));
  return words.filter((terms) => terms.length > 0);
}

// The documents that have words of the question, the best first: before all else a type that it names. The last word
// may be the beginning of one.
function search(index, documents, question) {
  const words = asked(question);
  if (words.length === 0) return [];
  const found = index.query((query) => {
    for (const [whole, ...parts] of words) {
      query.term(whole, { boost: parts.length === 0 ? 10 : words.length > 1 ? 20 : 100 });
      for (const part of parts) query.term(part, { boost: 2 });
    }
    const last = words[words.length - 1][0];
    if (last.length > 2) query.term(last, { usePipeline: false, wildcard: lunr.Query.wildcard.TRAILING });
  });
  const name = question.trim();
  const isType = ([, page, heading]) => !page && /(^|::)[A-Z]\w*$/.test(name) && `::${heading}`.endsWith(`::${name}`);
  const types = documents.filter(isType).sort((a, b) => a[2].length - b[2].length);
  return [...new Set([...types, ...found.map(({ ref }) => documents[ref])])];
}

// What a text says where it first has the question, or else a word of it or a form of that.
function excerpt(text, question) {
  const whole = text.toLowerCase().indexOf(question.trim().toLowerCase());
  const stems = asked(question).flat().map((word) => word.slice(0, 5));
  const at = whole >= 0 ? whole : text.toLowerCase().search(new RegExp(`\\b(${stems.join("|")})`));
  const begin = at < 100 ? 0 : text.lastIndexOf(" ", at - 60) + 1;
  const end = text.length - begin <= 180 ? text.length : text.lastIndexOf(" ", begin + 180);
  return (begin > 0 ? "… " : "") + text.slice(begin, end) + (end < text.length ? " …" : "");
}

function loadScript(name, then) {
  const script = document.createElement("script");
  script.src = name;
  script.onload = then;
  document.head.append(script);
}

function showBox() {
  const box = document.createElement("form");
  box.id = "find";
  box.innerHTML = '<input type="search" placeholder="Search" aria-label="Search"><ol hidden></ol>';
  document.getElementById("top").append(box);
  const [input, list] = box.children;
  let index = null;

  function show() {
    if (!index) return;
    const found = search(index, searchDocuments, input.value).slice(0, 12);
    list.replaceChildren(
      ...found.map(([link, page, heading, text]) => {
        const entry = document.createElement("li");
        const title = document.createElement("a");
        title.href = link;
        title.textContent = page && page !== heading ? `${page}: ${heading}` : heading;
        entry.append(title, document.createElement("br"), excerpt(text, input.value));
        return entry;
      }),
    );
    list.hidden = found.length === 0;
  }

  input.addEventListener("focus", () => {
    if (index) return show();
    loadScript("lunr.min.js", () =>
      loadScript("search_documents.js", () => {
        index = index || makeIndex(searchDocuments);
        show();
      }),
    );
  });
  input.addEventListener("input", show);
  box.addEventListener("submit", (event) => {
    event.preventDefault();
    const first = list.querySelector("a");
    if (first) window.location = first.href;
  });
  document.addEventListener("click", (event) => (list.hidden ||= !box.contains(event.target)));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") list.hidden = true;
  });
}

if (typeof document !== "undefined") showBox();
