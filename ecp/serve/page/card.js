// The card of one token: its probability, what else could have stood there, what its row of the model sees.

import { shown } from "./align.js";
import { count, number } from "./reach.js";

function make(tag, className, ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

export function percent(logprob) {
  const p = Math.exp(logprob) * 100;
  if (p >= 99.95) return "100 %";
  if (p >= 10) return `${p.toFixed(0)} %`;
  if (p >= 1) return `${p.toFixed(1)} %`;
  return p >= 0.01 ? `${p.toFixed(2)} %` : "< 0.01 %";
}

function alternatives(token) {
  const rows = Object.entries(token.top).map(([piece, logprob]) => ({ piece, logprob, own: piece === token.piece }));
  if (!rows.some((row) => row.own)) rows.push({ piece: token.piece, logprob: token.logprob, own: true });
  rows.sort((a, b) => b.logprob - a.logprob);
  const list = make("ol", "alternatives");
  for (const row of rows) {
    const bar = make("span", "bar");
    bar.style.width = `${Math.max(0.5, Math.exp(row.logprob) * 100)}%`;
    const item = make("li", row.own ? "own" : "", make("span", "piece", shown(row.piece)), make("span", "track", bar),
      make("span", "value", percent(row.logprob)));
    if (row.own) item.append(make("span", "hidden", "chosen"));
    list.append(item);
  }
  return list;
}

/** "256–340 (85)". */
const span = (first, last) => `${first === last ? number(first) : `${number(first)}–${number(last)}`} (${number(last - first + 1)})`;

function view(reach, row) {
  const list = make("dl", "view");
  const line = (zone, name, text) => {
    const key = make("dt", "", make("i", "line"), name);
    key.firstChild.dataset.zone = zone;
    list.append(key, make("dd", "", text));
  };
  const one = reach.first(row, 1), all = reach.first(row, reach.layers);
  line("1", "one layer sees", span(one, row));
  if (reach.layers > 1) line("3", `all ${reach.layers} reach`, span(all, row));
  line("out", "out of reach", all > 0 ? span(0, all - 1) : "nothing");
  return list;
}

export class Card {
  constructor(element) {
    this.element = element;
  }

  /** `cell`: of the text. `reach`: to tell what it sees, or null. */
  show(cell, reach) {
    const parts = [make("p", "where", `Token ${number(cell.last)}${cell.tokens[0].prompt ? ", of the prompt" : ""}`)];
    if (cell.tokens.length > 1) {
      parts[0].append(`: “${cell.text()}”, of ${count(cell.tokens.length, "token")}`);
    }
    for (const token of cell.tokens.slice(-4)) {
      if (token.logprob === null) {
        parts.push(make("p", "", make("b", "piece", shown(token.piece)), " is the first: nothing is before it."));
        continue;
      }
      parts.push(make("p", "chosen", make("b", "piece", shown(token.piece)), make("span", "value", percent(token.logprob))),
        alternatives(token));
    }
    if (reach) parts.push(view(reach, cell.last));
    this.element.replaceChildren(...parts);
    this.element.hidden = false;
    this.place(cell);
  }

  hide() {
    this.element.hidden = true;
  }

  /** Below the token, or above where there is no room; on narrow screens the style puts it at the bottom. */
  place(cell) {
    if (this.element.hidden) return;
    const { style } = this.element, box = [...cell.element.getClientRects()].at(-1);
    if (!box || getComputedStyle(this.element).position === "fixed") {
      style.left = style.top = "";
      return;
    }
    const width = this.element.offsetWidth, height = this.element.offsetHeight;
    const left = Math.max(8, Math.min(box.left - 12, document.documentElement.clientWidth - width - 8));
    const below = box.bottom + 10 + height < innerHeight || box.top < height + 10;
    style.left = `${left + scrollX}px`;
    style.top = `${(below ? box.bottom + 10 : box.top - height - 10) + scrollY}px`;
  }
}
