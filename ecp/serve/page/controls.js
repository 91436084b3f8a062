// The sampling controls: what each says beside its label, and the fields of a request that they make.

const words = {
  temperature: (value) => value === 0 ? "0, the likeliest always" : value.toFixed(2),
  top_p: (value) => value === 1 ? "1, off" : value.toFixed(2),
  top_k: (value) => value === 0 ? "off" : String(value),
  min_p: (value) => value === 0 ? "off" : value.toFixed(2),
  repetition_penalty: (value) => value === 1 ? "1, off" : value.toFixed(2),
};

export class Controls {
  constructor(form) {
    this.form = form;
    for (const name of Object.keys(words)) {
      const say = () => {
        const text = words[name](form.elements[name].valueAsNumber);
        form.querySelector(`output[for="${name}"]`).textContent = text;
        form.elements[name].setAttribute("aria-valuetext", text);
      };
      form.elements[name].addEventListener("input", say);
      form.addEventListener("reset", () => setTimeout(say));
      say();
    }
    form.elements.endless.addEventListener("change", () => this.#endless());
    form.addEventListener("reset", () => setTimeout(() => this.#endless()));
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  /** How long a text the server lets one make. */
  limit(most) {
    this.most = most;
    this.form.elements.max_tokens.max = most;
  }

  /** Fields of POST /v1/completions; `room`: tokens that there are left for the text. */
  fields(room = Infinity) {
    const { elements } = this.form;
    const fields = {};
    for (const name of Object.keys(words)) fields[name] = elements[name].valueAsNumber;
    const asked = elements.endless.checked ? this.most : elements.max_tokens.valueAsNumber;
    fields.max_tokens = Math.max(1, Math.min(Number.isNaN(asked) ? 400 : asked, room));
    if (elements.seed.value !== "") fields.seed = elements.seed.valueAsNumber;
    const stops = elements.stop.value.split("\n").filter((line) => line !== "").map((line) => line.replaceAll("\\n", "\n"));
    if (stops.length > 0) fields.stop = stops;
    return fields;
  }

  #endless() {
    this.form.elements.max_tokens.disabled = this.form.elements.endless.checked;
  }
}
