// What stands beside the text: the model in words, and the figures while it writes.

import { metrics } from "./api.js";
import { bytes, range, Rate, Series, speed } from "./figures.js";
import { count, number } from "./reach.js";

const $ = (id) => document.getElementById(id);

export class Panel {
  constructor() {
    this.speeds = new Series($("speed-line"));
    this.memories = new Series($("memory-line"));
    this.model = null;
  }

  describe(model, reach) {
    this.model = model;
    $("model-name").textContent = model.id;
    const back = reach.farthest(), layers = count(model.layers, "layer");
    const lines = [["Architecture", `${model.architecture}, ${layers}, preset ${model.preset}`],
      ["One layer", `a token sees ${reach.view()}`],
      ["All layers", back === null ? "everything before" : `up to ${count(back, "token")} back`],
      ["Trained on", `windows of ${count(model.trained_length, "token")}, a vocabulary of ${number(model.vocabulary)}`],
      ["Length", model.max_context === null
        ? `no end: memory and time per token stay the same, ${number(model.max_tokens)} tokens at a time`
        : `prompt and text together have at most ${count(model.max_context, "token")}`]];
    if (model.holds_positions) {
      lines.push(["Beyond training", `after ${count(model.trained_length, "token")} positions are held at the last ones trained, and the text may suffer`]);
    }
    $("model").replaceChildren(...lines.flatMap(([name, value]) => {
      const term = document.createElement("dt"), about = document.createElement("dd");
      term.textContent = name;
      about.textContent = value;
      return [term, about];
    }));
    $("zone-all").textContent = model.layers > 1 ? `${layers} together, further back the fainter` : "no more: there is one layer";
    this.position(0);
    this.#memory();
  }

  clear() {
    this.speeds.clear();
    this.memories.clear();
    $("speed").textContent = "–";
    $("speed-range").textContent = "";
    this.position(0);
  }

  start() {
    this.rate = new Rate();
    this.since = performance.now();
    this.timers = [setInterval(() => this.#speed(), 500), setInterval(() => this.#memory(), 1000)];
    this.#memory();
  }

  /** Tokens came. */
  wrote(tokens) {
    const now = performance.now();
    if (this.first === undefined) this.first = now;  // reading the prompt isn't writing
    else this.rate.add(tokens, now);
  }

  stop(position) {
    for (const timer of this.timers ?? []) clearInterval(timer);
    this.timers = undefined;
    this.first = undefined;
    this.position(position);
    if (this.model) setTimeout(() => this.#memory(), 300);  // once the server, too, knows that it is over
  }

  position(tokens) {
    $("position").textContent = number(tokens);
    if (!this.model) return;
    const { max_context: most, trained_length: trained } = this.model;
    $("position-range").textContent = most !== null ? `of at most ${number(most)}`
      : tokens > trained ? `${(tokens / trained).toFixed(1)} × the trained length` : `trained on ${number(trained)}`;
  }

  #speed() {
    if (this.first === undefined) return;
    const value = this.rate.at(performance.now(), this.first);
    if (Number.isNaN(value)) return;
    this.speeds.add(value);
    $("speed").textContent = speed(value);
    $("speed-range").textContent = range(this.speeds, speed);
  }

  async #memory() {
    let values;
    try {
      values = await metrics();
    } catch {
      return;  // the text's own request tells what is wrong
    }
    const value = values.ecp_resident_memory_bytes;
    if (this.timers) this.memories.add(value);
    $("memory").textContent = bytes(value);
    $("memory-range").textContent = range(this.memories, bytes);
    const waiting = values.ecp_queue > 0 ? `, ${number(values.ecp_queue)} waiting` : "";
    $("slots").textContent = `The server has ${number(values.ecp_slots_busy)} of ${number(values.ecp_slots)} texts in work${waiting}.`;
  }
}
