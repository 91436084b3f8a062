// The server's API: requests, streams of events, errors, the key.

const keyName = "ecp-api-key";
let key = "";
try {
  key = sessionStorage.getItem(keyName) ?? "";
} catch { /* then it is kept in memory alone */ }

export function setKey(value) {
  key = value;
  try {
    sessionStorage.setItem(keyName, value);
  } catch { /* see above */ }
}

export const hasKey = () => key !== "";

/** What the server, or the way to it, has against a request. */
export class ApiError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

async function errorOf(answer) {
  const text = await answer.text();
  try {
    return new ApiError(JSON.parse(text).error.message, answer.status);
  } catch {
    return new ApiError(`The server answered ${answer.status} ${answer.statusText}`.trim() + ".", answer.status);
  }
}

/** GET, or POST where there is a body. Paths are relative, so that a proxy may put the server anywhere. */
async function send(path, body, signal) {
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method: body ? "POST" : "GET", headers, signal, cache: "no-store", credentials: "omit",
      body: body ? JSON.stringify(body) : undefined });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server can't be reached. Does it still run?");
  }
  if (!answer.ok) throw await errorOf(answer);
  return answer;
}

export const ask = async (path, body, signal) => (await send(path, body, signal)).json();

/** The objects of a stream of events, until its end. */
export async function* events(path, body, signal) {
  const answer = await send(path, { ...body, stream: true }, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError" || signal.aborted) throw error;
      part = { done: true };
    }
    if (part.done) throw new ApiError("The connection broke off before the text's end.");
    const pieces = (rest + part.value).split("\n\n");
    rest = pieces.pop();
    for (const piece of pieces) {
      const data = piece.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new ApiError(event.error.message);
      yield event;
    }
  }
}

/** Values of the server's metrics that have no labels, by name. */
export async function metrics() {
  const text = await (await send("metrics")).text();
  const values = {};
  for (const line of text.split("\n")) {
    const found = /^([a-z_]+) ([-+\d.e]+)$/.exec(line);
    if (found) values[found[1]] = Number(found[2]);
  }
  return values;
}
