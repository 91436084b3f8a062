// One text being written: asks the server for it, aligns what comes with its tokens, shows it frame by frame.

import { ApiError, ask, events } from "./api.js";
import { Alignment } from "./align.js";

const longest = 200000;  // characters of a prompt that is shown token by token
const alternatives = 5;

/** A streamed choice's tokens, as Alignment takes them. */
function tokensOf(told, prompt) {
  return told.tokens.map((piece, i) => ({
    piece, at: told.text_offset[i], logprob: told.token_logprobs[i], top: told.top_logprobs[i], prompt: i < prompt }));
}

export class Writer {
  running = false;
  model = null;
  drawn = () => {};
  replaced = () => {};  // the text is about to make room for another
  started = () => {};

  constructor(text, panel) {
    this.text = text;
    this.panel = panel;
    this.clear();
  }

  clear() {
    this.text.clear();
    this.panel.clear();
    this.ids = [];  // of all tokens, shown or not
    this.align = new Alignment();
  }

  abort() {
    this.abortion?.abort();
  }

  /** A new text. `fields(room)`: the sampling. Resolves to { why, tokens } at its end. */
  async begin(prompt, fields) {
    const echo = prompt.length <= longest;
    return this.#write(async (signal) => {
      const room = this.model.max_context === null ? undefined : this.model.max_context
        - (await ask("tokenize", { text: prompt }, signal)).tokens.length;
      return { prompt, echo, ...fields(room) };
    }, { fresh: true, plain: echo ? null : prompt });
  }

  /** More of the text that there is, from its very tokens. */
  async goOn(fields) {
    return this.#write(async () => {
      this.text.add(this.align.reveal());
      this.text.flush();
      const { max_context: most } = this.model;
      return { prompt: this.ids, ...fields(most === null ? undefined : most - this.ids.length) };
    }, { fresh: false, plain: null });
  }

  async #write(request, kind) {
    this.running = true;
    this.abortion = new AbortController();
    const { signal } = this.abortion;
    const state = { tokens: 0, why: "abort", ...kind };
    try {
      const body = await request(signal);
      this.panel.start();
      for await (const event of events("v1/completions", { ...body, logprobs: alternatives, return_token_ids: true }, signal)) {
        if (signal.aborted) break;  // what came with the last read isn't wanted any more
        this.#take(event.choices[0], body.echo === true, state);
      }
    } catch (error) {
      if (error.name !== "AbortError" && !signal.aborted) {
        state.why = "error";
        throw error instanceof ApiError ? error : new ApiError(`The page failed: ${error.message}`);
      }
    } finally {
      this.running = false;
      this.text.add(this.align.finish());
      this.#draw();
      this.panel.stop(this.text.length);
    }
    return state;
  }

  #take(choice, echo, state) {
    const first = choice.prompt_token_ids !== undefined;
    if (first) {
      if (state.fresh) {  // not before: if the server refuses, what was there stays
        this.replaced();
        this.clear();
        this.ids = [...choice.prompt_token_ids];
        if (state.plain !== null) this.text.showPlain(state.plain, this.ids.length);
      }
      this.align = new Alignment();
      this.started();
    }
    this.ids.push(...choice.token_ids);
    state.tokens += choice.token_ids.length;
    this.panel.wrote(choice.token_ids.length);
    const tokens = tokensOf(choice.logprobs, echo && first ? choice.prompt_token_ids.length : 0);
    this.text.add(this.align.push(choice.text, tokens));
    if (choice.finish_reason) state.why = choice.finish_reason;
    this.frame ??= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.frame = null;
    const page = document.documentElement;
    // Whoever reads the end goes on reading the end; whoever scrolled away stays.
    const follows = this.running && page.scrollTop > 0 && page.scrollHeight - page.scrollTop - innerHeight < 80;
    const [token] = this.align.tokens;
    this.text.flush(token ? { token, text: this.align.tentative() } : null);
    this.panel.position(this.text.length);
    this.drawn();
    if (follows) page.scrollTop = page.scrollHeight;
  }
}
