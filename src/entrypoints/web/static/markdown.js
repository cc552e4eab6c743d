// Text of a model becomes a document here and nowhere else: marked parses it, DOMPurify lets
// through what is listed below. No images (they would call out), no ids, no styles, no scripts.

import DOMPurify from "./vendor/dompurify/purify.es.js";
import { Marked } from "./vendor/marked/marked.esm.js";
import { citations } from "./citations.js";
import { copyButton, h } from "./ui.js";

const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "kbd", "li", "mark",
    "ol", "p", "pre", "span", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["align", "class", "href", "start", "title"],
  // Everything not named here must look like one of these addresses.
  ADD_URI_SAFE_ATTR: ["align", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:|\/(?!\/))/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};
const INLINE_HTML = /^<\/?(?:br|del|em|kbd|mark|strong|sub|sup)\s*\/?>$/i;

const purifier = DOMPurify(window);
purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A" && node.hasAttribute("href")) {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer");
  }
  const name = node.getAttribute?.("class");
  if (name && !/^(?:language-[\w+#.-]+|task(?: done)?)$/.test(name)) node.removeAttribute("class");
});

const marked = new Marked({
  gfm: true,
  renderer: {
    // What looks like HTML in an answer is nearly always meant to be read, not obeyed.
    html({ text, block }) {
      if (/^\s*<!--/.test(text)) return "";
      if (INLINE_HTML.test(text.trim())) return text;
      return block ? `<p>${escaped(text)}</p>` : escaped(text);
    },
    image({ href, text }) {
      return `<a href="${escaped(href)}">${escaped(text || "image")}</a>`;
    },
    checkbox({ checked }) {
      return `<span class="task${checked ? " done" : ""}">${checked ? "☑" : "☐"}</span> `;
    },
  },
});

/** A finished text, as a fragment ready to be shown. `cite(number)` gives the link of a source, or null. */
export function render(text, cite = null) {
  return finished(marked.parse(text), cite);
}

/** The words of a text, without its marks. */
export function plainText(text) {
  return purifier.sanitize(marked.parse(text), ALLOWED).textContent.replace(/\s+/g, " ").trim();
}

/** A snippet in which the server has marked the hits; nothing but `<mark>` survives. */
export function renderSnippet(html) {
  const words = html.replaceAll(/&gt;|[*_`#]/g, "").replaceAll(/\s+/g, " ");
  return DOMPurify.sanitize(words, { ALLOWED_TAGS: ["mark"], ALLOWED_ATTR: [], RETURN_DOM_FRAGMENT: true });
}

/**
 * A text that grows, drawn at most once a frame. Blocks that can no longer change are drawn once
 * and left alone, so the cost of a frame is that of the last block, not of the answer.
 */
export class GrowingMarkdown {
  #container;
  #cite;
  #tail = h("div", { class: "tail" });
  #pending = "";
  #frame = null;

  constructor(container, cite) {
    this.#container = container;
    this.#cite = cite;
    container.replaceChildren(this.#tail);
  }

  append(text) {
    // The lexer counts in line feeds alone, and its counts cut `#pending`.
    this.#pending += text.replaceAll("\r", "");
    this.#frame ??= requestAnimationFrame(() => this.#draw());
  }

  /** Draws the whole text once more, now that link definitions and sources are all known. */
  finish(text) {
    cancelAnimationFrame(this.#frame);
    this.#container.replaceChildren(render(text, this.#cite));
  }

  #draw() {
    this.#frame = null;
    const tokens = marked.lexer(this.#pending);
    // A list goes on after a blank line, so the last block that is not space is still open.
    let open = tokens.length - 1;
    while (open > 0 && tokens[open].type === "space") open--;
    const settled = tokens.slice(0, Math.max(open, 0));
    if (settled.length) {
      const length = settled.reduce((sum, token) => sum + token.raw.length, 0);
      this.#pending = this.#pending.slice(length);
      this.#tail.before(finished(marked.parser(settled), this.#cite));
    }
    this.#tail.replaceChildren(finished(marked.parser(tokens.slice(Math.max(open, 0))), this.#cite));
  }
}

function finished(html, cite) {
  const fragment = purifier.sanitize(html, ALLOWED);
  for (const block of fragment.querySelectorAll("pre")) dressCode(block);
  for (const table of fragment.querySelectorAll("table")) {
    const frame = h("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Table" });
    table.replaceWith(frame);
    frame.append(table);
  }
  if (cite) linkCitations(fragment, cite);
  return fragment;
}

function dressCode(block) {
  const code = block.querySelector("code");
  const language = /language-(\S+)/.exec(code?.className ?? "")?.[1] ?? "";
  const frame = h("div", { class: "code" }, [
    h("div", { class: "code-head" }, [
      h("span", {}, language || "text"),
      copyButton("Copy code", () => block.textContent.replace(/\n$/, "")),
    ]),
  ]);
  block.setAttribute("tabindex", "0");
  block.replaceWith(frame);
  frame.append(block);
}

function linkCitations(fragment, cite) {
  const walker = document.createTreeWalker(fragment, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (/[[【]/.test(node.data) && !node.parentElement?.closest("a, code, pre")) found.push(node);
  }
  for (const node of found) {
    const parts = [];
    let from = 0;
    for (const { index, length, numbers } of citations(node.data)) {
      const links = numbers.map(cite);
      if (links.some((link) => link === null)) continue;
      // A citation does not begin a line.
      parts.push(node.data.slice(from, index).replace(/ $/, "\u00a0"), ...links);
      from = index + length;
    }
    if (from) node.replaceWith(...parts, node.data.slice(from));
  }
}

function escaped(text) {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
