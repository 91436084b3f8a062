// The text as it is written: a span for each token (or for the tokens that make one character), in blocks that the
// browser can lay out apart. All of it goes in as text, once per frame.

import { isUnfinished } from "./align.js";

const blockCells = 300;  // of a block that is full
const bounds = [0.5, 0.2, 0.05, 0.01];  // between the shades of probabilities

/** 0 (likely) … 4; −1 where none is known. */
export function shadeOf(logprob) {
  if (logprob === null || logprob === undefined) return -1;
  const p = Math.exp(logprob);
  const shade = bounds.findIndex((bound) => p >= bound);
  return shade < 0 ? bounds.length : shade;
}

export class TokenText {
  /** `isEdge(row)`: whether one of the model's blocks begins there. */
  constructor(element) {
    this.element = element;
    this.isEdge = () => false;
    this.clear();
  }

  clear() {
    this.element.replaceChildren();
    this.blocks = [];  // { element, cells }
    this.cells = [];  // { element, first, last (rows), tokens, index }
    this.plain = null;  // a prompt that was too long to be shown token by token
    this.origin = 0;  // rows in that
    this.rows = 0;
    this.open = [];  // tokens of a character that isn't whole
    this.tail = null;  // the last token's cell, whose text may grow
    this.waiting = [];
  }

  /** A long prompt, as one piece; `rows`: its tokens. */
  showPlain(text, rows) {
    this.plain = document.createElement("div");
    this.plain.className = "block plain";
    this.plain.textContent = text;
    this.element.append(this.plain);
    this.origin = this.rows = rows;
  }

  /** Tokens whose text is settled; shown at the next `flush`. */
  add(tokens) {
    this.waiting.push(...tokens);
  }

  /** Shows what was added. `tentative`: the next token and its text so far, or null. */
  flush(tentative = null) {
    const waiting = this.waiting;
    this.waiting = [];
    for (const token of waiting) {
      if (this.tail !== null && this.tail.tokens.at(-1) === token) {  // was shown in part
        if (this.tail.element.firstChild.data !== token.text) this.tail.element.firstChild.data = token.text;
        this.tail = null;
        continue;
      }
      this.#append(token, token.text);
    }
    if (tentative?.text) {
      if (this.tail === null) this.tail = this.#append(tentative.token, tentative.text);
      else if (this.tail.tokens.at(-1) === tentative.token) this.tail.element.firstChild.data = tentative.text;
    }
  }

  get length() {
    return this.rows;
  }

  /** The exact text, without the breaks that only the layout has. */
  string() {
    return (this.plain?.textContent ?? "") + this.cells.map((cell) => cell.text()).join("");
  }

  cellOf(element) {
    const span = element?.closest?.(".t");
    return span && this.element.contains(span) ? this.cells[span.cellIndexInText] : undefined;
  }

  #append(token, text) {
    const row = this.rows++;
    this.open.push(token);
    if (text === "" && isUnfinished(token.piece)) return null;
    const tokens = this.open;
    this.open = [];
    const span = document.createElement("span");
    span.append(text);
    const first = row - tokens.length + 1;
    const known = tokens.every((one) => one.logprob !== null);
    const shade = known ? shadeOf(tokens.reduce((sum, one) => sum + one.logprob, 0)) : -1;
    span.className = `t p${shade < 0 ? "x" : shade}${token.prompt ? " prompt" : ""}`;
    if (token.piece === "") span.classList.add("end");
    if (this.isEdge(first)) span.classList.add("edge");
    const index = this.cells.length;
    span.cellIndexInText = index;
    const cell = { element: span, first, last: row, tokens, index, text: () => span.textContent };
    this.cells.push(cell);
    const block = this.#block();
    block.cells.push(cell);
    block.element.append(span);
    return cell;
  }

  #block() {
    const last = this.blocks.at(-1);
    if (last === undefined) return this.#begin([]);
    if (last.cells.length < blockCells) return last;
    if (last.cells.at(-1).text().endsWith("\n")) return this.#begin([]);
    // Where the line breaks anyway, so that nobody sees it.
    const cells = last.cells;
    let at = cells.length;
    while (--at > cells.length - 80) {
      if (cells[at].element.offsetTop > cells[at - 1].element.offsetTop) return this.#begin(cells.splice(at));
    }
    return cells.length < 2 * blockCells ? last : this.#begin([]);
  }

  #begin(cells) {
    this.blocks.at(-1)?.element.classList.add("full");
    const element = document.createElement("div");
    element.className = "block";
    for (const cell of cells) delete cell.element.dataset.zone;  // Marks will tell
    element.append(...cells.map((cell) => cell.element));
    this.element.append(element);
    const block = { element, cells };
    this.blocks.push(block);
    return block;
  }
}
