// Which part of a streamed text belongs to which token.
//
// The server tells for each token where it begins, in characters (code points, not JavaScript's units) of its
// answer's text. A token that ends within a character has no text: the character belongs to the token that completes
// it. Text may come later than its tokens, while it could become a stop string.

const unfinished = /^bytes:((?:\\x[0-9a-f]{2})+)$/;

/** The bytes of a token as the server names it. */
export function bytesOf(piece) {
  const found = unfinished.exec(piece);
  if (!found) return new TextEncoder().encode(piece);
  return Uint8Array.from(found[1].match(/[0-9a-f]{2}/g), (hex) => parseInt(hex, 16));
}

export const isUnfinished = (piece) => unfinished.test(piece);

/** A token as people read it. */
export function shown(piece) {
  if (piece === "") return "end of text";
  if (isUnfinished(piece)) return [...bytesOf(piece)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ") + " (bytes)";
  return piece.replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/^ | $/g, "␣");
}

/** The tokens of one answer, in order, as their text becomes known. */
export class Alignment {
  tokens = [];  // whose text isn't settled: { piece, at, ... }
  characters = [];  // that no settled token has
  begin = 0;  // where those begin

  /** Takes a piece of the answer; returns the tokens whose text is settled with it, each with its `text`. */
  push(text, tokens) {
    this.characters.push(...text);
    this.tokens.push(...tokens);
    const settled = [];
    while (this.tokens.length > 1) {
      const end = this.tokens[1].at;
      if (end > this.begin + this.characters.length) break;
      settled.push(this.#take(end));
    }
    return settled;
  }

  /** The text so far of the first token that isn't settled. */
  tentative() {
    return this.tokens.length > 0 ? this.characters.join("") : "";
  }

  /** At the answer's end: settles the tokens whose text is whole. One that a stop string cut, and those behind it,
      stay. */
  finish() {
    const settled = [];
    while (this.tokens.length > 0) {
      const [token, next] = this.tokens, there = this.begin + this.characters.length;
      const whole = next ? next.at <= there : isUnfinished(token.piece) || this.characters.length >= [...token.piece].length;
      if (!whole) break;
      settled.push(this.#take(next ? next.at : there));
    }
    return settled;
  }

  /** Tokens that were generated but not shown, as those of a stop string: their text is what their bytes say. */
  reveal() {
    const decoder = new TextDecoder();
    const hidden = this.tokens.splice(0);
    return hidden.map((token, i) => {
      token.text = decoder.decode(bytesOf(token.piece), { stream: i + 1 < hidden.length });
      return token;
    });
  }

  #take(end) {
    const token = this.tokens.shift();
    token.text = this.characters.splice(0, Math.max(0, end - this.begin)).join("");
    this.begin = Math.max(this.begin, end);
    return token;
  }
}
