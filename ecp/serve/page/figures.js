// Figures that stay flat or don't: tokens per second, the server's memory, the position. A series holds the whole
// course of a text, however long: where it is full, neighbours become one.

import { number } from "./reach.js";

const most = 240;  // points of a series

export class Series {
  constructor(svg) {
    this.path = svg.querySelector("path");
    this.clear();
  }

  clear() {
    this.points = [];
    this.each = 1;  // samples in a point
    this.sum = 0;
    this.samples = 0;
    this.least = Infinity;
    this.most = -Infinity;
    this.path.setAttribute("d", "");
  }

  add(value) {
    this.least = Math.min(this.least, value);
    this.most = Math.max(this.most, value);
    this.sum += value;
    if (++this.samples % this.each !== 0) return;
    this.points.push(this.sum / this.each);
    this.sum = 0;
    if (this.points.length >= most) {
      this.points = this.points.filter((_, i) => i % 2 === 1).map((point, i) => (point + this.points[2 * i]) / 2);
      this.each *= 2;
    }
    this.#draw();
  }

  /** Up from 0, in a box of 100 × 30, so that what is flat looks flat. */
  #draw() {
    if (this.points.length < 2) return;
    const top = Math.max(...this.points) * 1.15 || 1, step = 100 / (this.points.length - 1);
    const at = (value, i) => `${(i * step).toFixed(2)} ${(29 - value / top * 28).toFixed(2)}`;
    this.path.setAttribute("d", "M" + this.points.map(at).join("L"));
  }
}

/** Tokens per second over the last second and a half. */
export class Rate {
  times = [];
  counts = [];

  add(tokens, now) {
    this.times.push(now);
    this.counts.push(tokens);
  }

  at(now, since) {
    while (this.times.length > 0 && this.times[0] < now - 1500) {
      this.times.shift();
      this.counts.shift();
    }
    const seconds = Math.min(1.5, (now - since) / 1000);
    return seconds > 0.2 ? this.counts.reduce((sum, count) => sum + count, 0) / seconds : NaN;
  }
}

export function bytes(value) {
  return value >= 1e9 ? `${(value / 1e9).toFixed(2)} GB` : `${(value / 1e6).toFixed(1)} MB`;
}

export function speed(value) {
  if (Number.isNaN(value)) return "–";
  return value >= 10 ? number(Math.round(value)) : value.toFixed(1);
}

/** "61.2–61.4 MB", "61.2 MB all along". */
export function range(series, format) {
  const [least, most] = [format(series.least), format(series.most)];
  if (!(series.least <= series.most)) return "";
  if (least === most) return `${most} all along`;
  const unit = most.replace(/^[\d.,]+/, "");
  return `${least.endsWith(unit) ? least.slice(0, least.length - unit.length) : least}–${most}`;
}
