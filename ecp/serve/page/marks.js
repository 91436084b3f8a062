// The receptive field drawn over the text. Zones are contiguous: a block of the text that lies in one is marked as a
// whole, and only blocks with a border inside have their tokens marked one by one.

function set(element, zone) {
  if (zone === undefined) {
    if (element.dataset.zone !== undefined) delete element.dataset.zone;
  } else if (element.dataset.zone !== zone) {
    element.dataset.zone = zone;
  }
}

export class Marks {
  constructor(text) {
    this.text = text;
    this.mixed = new Set();  // blocks whose tokens are marked
    this.drawn = false;
  }

  /** `zones` as Reach tells them, nearest first. */
  draw(zones) {
    this.drawn = true;
    const row = zones[0].last;
    const zoneOf = (at) => at > row ? "later" : zones.find((zone) => at >= zone.first).zone;
    for (const block of this.text.blocks) {
      if (block.cells.length === 0) continue;
      const first = zoneOf(block.cells[0].last), last = zoneOf(block.cells.at(-1).last);
      if (first === last) {
        this.#unmix(block);
        set(block.element, first);
        continue;
      }
      set(block.element, undefined);
      this.mixed.add(block);
      for (const cell of block.cells) set(cell.element, zoneOf(cell.last));
    }
    if (this.text.plain) set(this.text.plain, zones.at(-1).zone === "out" && this.text.origin <= zones.at(-1).last + 1 ? "out" : undefined);
  }

  clear() {
    if (!this.drawn) return;
    this.drawn = false;
    for (const block of this.text.blocks) {
      set(block.element, undefined);
      this.#unmix(block);
    }
    this.mixed.clear();
    if (this.text.plain) set(this.text.plain, undefined);
  }

  #unmix(block) {
    if (!this.mixed.delete(block)) return;
    for (const cell of block.cells) set(cell.element, undefined);
  }
}
