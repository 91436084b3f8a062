// Which token is looked at: under the pointer, focused (arrow keys move), or held by a tap or Enter.

export class Choice {
  /** `changed(cell, held)`: with undefined where none is. */
  constructor(text, card, changed) {
    this.text = text;
    this.card = card;
    this.changed = changed;
    this.cell = undefined;
    this.held = false;
    this.stop = undefined;  // the cell that Tab leads to
    const area = text.element;
    area.addEventListener("pointerover", (event) => {
      if (event.pointerType === "touch" || this.held || area.contains(document.activeElement)) return;
      this.#look(text.cellOf(event.target));
    });
    area.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "touch" || this.held || area.contains(document.activeElement)) return;
      this.#look(undefined);
    });
    area.addEventListener("click", (event) => {
      if (!getSelection().isCollapsed) return;  // somebody selects text
      const cell = text.cellOf(event.target);
      if (!cell) return this.drop();
      const again = this.held && cell === this.cell;
      if (again) return this.drop();
      this.held = true;
      this.#focus(cell);
      this.#look(cell);
    });
    area.addEventListener("focusin", (event) => {
      const cell = text.cellOf(event.target);
      if (cell && cell !== this.cell) this.#look(cell);
    });
    area.addEventListener("focusout", (event) => {
      if (!this.held && !area.contains(event.relatedTarget)) this.#look(undefined);
    });
    area.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("pointerdown", (event) => {
      if (this.held && !area.contains(event.target) && !event.target.closest("button, label, input, summary")) this.drop();
    });
  }

  /** Lets Tab reach the text. */
  offer() {
    if (this.stop === undefined && this.text.cells.length > 0) this.#offer(this.text.cells[0]);
  }

  drop() {
    this.held = false;
    if (this.text.element.contains(document.activeElement)) document.activeElement.blur();
    this.#look(undefined);
  }

  /** The text is another one. */
  forget() {
    this.stop = undefined;
    this.drop();
  }

  #offer(cell) {
    if (this.stop && this.stop !== cell) {
      for (const name of ["tabindex", "role", "aria-describedby"]) this.stop.element.removeAttribute(name);
    }
    this.stop = cell;
    cell.element.tabIndex = 0;
    cell.element.setAttribute("role", "button");
    cell.element.setAttribute("aria-describedby", this.card.element.id);
  }

  #focus(cell) {
    this.#offer(cell);
    cell.element.focus({ preventScroll: this.held });
  }

  #look(cell) {
    if (cell === this.cell) return;
    this.cell?.element.classList.remove("chosen");
    this.cell = cell;
    cell?.element.classList.add("chosen");
    this.changed(cell);
  }

  #key(event) {
    if (!this.cell || event.ctrlKey || event.altKey || event.metaKey) return;
    const { cells } = this.text, { index } = this.cell;
    let next;
    switch (event.key) {
      case "ArrowRight": next = cells[index + 1]; break;
      case "ArrowLeft": next = cells[index - 1]; break;
      case "ArrowDown": next = this.#line(1); break;
      case "ArrowUp": next = this.#line(-1); break;
      case "Home": next = cells[0]; break;
      case "End": next = cells.at(-1); break;
      case "Enter":
      case " ": this.held = !this.held; event.preventDefault(); return;
      default: return;
    }
    event.preventDefault();
    if (!next) return;
    this.#focus(next);
    next.element.scrollIntoView({ block: "nearest" });
    this.#look(next);
    this.card.place(next);
  }

  /** The cell above or below, as the lines are. */
  #line(way) {
    const { cells } = this.text;
    const from = this.cell.element.getBoundingClientRect();
    const middle = from.left + from.width / 2;
    let best, line;
    for (let i = this.cell.index + way; i >= 0 && i < cells.length; i += way) {
      const box = cells[i].element.getBoundingClientRect();
      if (Math.abs(box.top - from.top) < 4) continue;
      if (line === undefined) line = box.top;
      if (Math.abs(box.top - line) > 4) break;
      const away = Math.abs(box.left + box.width / 2 - middle);
      if (best && away > best.away) break;
      best = { cell: cells[i], away };
    }
    return best?.cell;
  }
}
