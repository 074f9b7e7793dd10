// The site's search: lunr's index (BM25) of what search_documents.py found, made when a reader begins to search. All of
// it are scripts, which a browser loads from files too.
"use strict";

// A name is found whole and by its words: load_safetensors, BatchLoader.
function withWords(text) {
  const names = (text.match(/\w+/g) || []).filter((word) => /_|[a-z][A-Z]/.test(word));
  return [text, ...names.map((name) => name.replace(/_/g, " ").replace(/([a-z])([A-Z])/g, "$1 $2"))].join(" ");
}

// Pages come before the reference, where both have the words.
function makeIndex(documents) {
  lunr.tokenizer.separator = /\W+/;
  return lunr(function () {
    this.ref("at");
    this.field("heading", { boost: 6 });
    this.field("page", { boost: 2 });
    this.field("text");
    documents.forEach(([, page, heading, text], at) => {
      const document = { at, page: withWords(page), heading: withWords(heading), text: withWords(text) };
      this.add(document, { boost: page ? 3 : 1 });
    });
  });
}

function wordsOf(question) {
  return question.toLowerCase().split(/\W+/).filter((word) => word && lunr.stopWordFilter(word));
}

// The documents that have words of the question, the best first. The last word may be the beginning of one.
function search(index, documents, question) {
  const words = wordsOf(question);
  const found = index.query((query) => {
    for (const word of words) query.term(word, { boost: 10 });
    const last = words[words.length - 1] || "";
    if (last.length > 2) query.term(last, { usePipeline: false, wildcard: lunr.Query.wildcard.TRAILING });
  });
  return found.map(({ ref }) => documents[ref]);
}

// What a text says where it first has a word of the question, or a form of it.
function excerpt(text, question) {
  const stems = wordsOf(question).map((word) => word.slice(0, 5));
  const at = text.toLowerCase().search(new RegExp(`\\b(${stems.join("|")})`));
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
