// What a token's row of the model sees: the table that the server computed, and how to say it.

export const number = (value) => value.toLocaleString("en");

/** "4 layers", "1 layer". */
export const count = (value, name) => `${number(value)} ${name}${value === 1 ? "" : "s"}`;

export class Reach {
  constructor(model) {
    this.layers = model.layers;
    this.table = model.reach;
    this.groups = model.attention;
    this.edges = new Set(this.table && this.table.period > 1 ? this.table.tiles.map((tile) => tile.begin) : []);
  }

  /** The first token that `row`, itself included, sees through so many layers. */
  first(row, layers) {
    if (layers === 0) return row;
    if (!this.table) return 0;
    const place = row % this.table.period;
    const tile = this.table.tiles.findLast((one) => one.begin <= place);
    return Math.max(0, row - place + tile.first[layers - 1]);
  }

  /** Whether a block begins at `row`. */
  isEdge(row) {
    return row > 0 && this.edges.has(row % (this.table?.period ?? 1));
  }

  /** Zones before and at `row`, nearest first: { zone, first, last }. Zones: "self", "1", "2" … "5" for layers that
      lie further and further back, "out". */
  zones(row) {
    const zones = [{ zone: "self", first: row, last: row, layers: 0 }];
    let last = row - 1;
    for (let layers = 1; layers <= this.layers && last >= 0; ++layers) {
      const first = this.first(row, layers);
      const shade = layers === 1 ? 1 : 2 + Math.min(3, Math.floor((layers - 2) * 4 / Math.max(4, this.layers - 1)));
      if (first <= last) zones.push({ zone: String(shade), first, last, layers });
      last = Math.min(last, first - 1);
    }
    if (last >= 0) zones.push({ zone: "out", first: 0, last, layers: Infinity });
    return zones;
  }

  /** What one layer sees, in a sentence's part. */
  view() {
    const [group] = this.groups, [size, second] = group.parameters;
    switch (group.pattern) {
      case "full":
        return "everything before it";
      case "sliding":
        return `the last ${count(size, "token")}`;
      case "group":
        return `its group of ${count(size, "token")} so far, half of the heads in groups moved by half of that`;
      case "ecp": {
        const before = second === 1 ? "the whole block before" : `the ${number(second)} whole blocks before`;
        const moved = this.groups.length > 1 ? ", half of the heads in blocks moved by half of that" : "";
        return `its own block of ${count(size, "token")} so far and ${before}${moved}`;
      }
      default:
        return "part of what is before it";
    }
  }

  /** The most tokens back that all layers together reach; null without bound. */
  farthest() {
    if (!this.table) return null;
    const { period, tiles } = this.table;
    return Math.max(...tiles.map((tile, i) => (tiles[i + 1]?.begin ?? period) - 1 - tile.first[this.layers - 1]));
  }
}
