// The page: what its buttons and keys do, and what it says of the state that it is in.

import { ApiError, ask, hasKey, setKey } from "./api.js";
import { Card } from "./card.js";
import { Choice } from "./choice.js";
import { Controls } from "./controls.js";
import { Marks } from "./marks.js";
import { Panel } from "./panel.js";
import { count, number, Reach } from "./reach.js";
import { TokenText } from "./text.js";
import { Writer } from "./writer.js";

const $ = (id) => document.getElementById(id);
const prompt = $("prompt"), text = new TokenText($("text"));
const controls = new Controls($("sampling")), panel = new Panel(), card = new Card($("card"));
const marks = new Marks(text), writer = new Writer(text, panel);
const choice = new Choice(text, card, look);
let model = null, reach = null;

const show = (name) => $(name).checked;
const say = (message) => { $("status").textContent = message; };

function fail(error) {
  if (error?.status === 401) {
    askForKey();
    error = null;
  }
  $("error").textContent = error ? error.message : "";
  $("error").hidden = !error;
}

function askForKey() {
  $("key-note").textContent = hasKey() ? "The server doesn't take this key." : "This server answers only who has its key.";
  $("key-form").hidden = false;
  $("key-button").hidden = false;
  $("key").focus();
}

/** What the page knows of the model, from the server. */
async function learn() {
  try {
    model = (await ask("v1/models")).data[0];
  } catch (error) {
    return fail(error);
  }
  fail(null);
  $("key-form").hidden = true;
  reach = new Reach(model);
  text.isEdge = (row) => reach.isEdge(row);
  writer.model = model;
  controls.limit(model.max_tokens);
  panel.describe(model, reach);
  document.title = `${model.id} · ecp`;
  settle();
}

function settle() {
  const running = writer.running, some = text.length > 0;
  $("write").disabled = running || !model;
  $("stop").disabled = !running;
  $("go-on").disabled = running || !some || !model;
  $("clear").disabled = $("copy").disabled = !some;
  document.body.classList.toggle("running", running);
  $("output").classList.toggle("empty", !some && !running);
}

/** The card and the receptive field of the token that is looked at; without one, the field of the newest. */
function look(cell) {
  if (cell) card.show(cell, show("show-reach") ? reach : null);
  else card.hide();
  mark();
}

function mark() {
  const row = choice.cell ? choice.cell.last : text.length - 1;
  $("reach-of").textContent = choice.cell ? "the chosen token" : "the newest token";
  if (show("show-reach") && reach && row >= text.origin && text.cells.length > 0) marks.draw(reach.zones(row));
  else marks.clear();
}

async function run(begin) {
  if (writer.running || !model) return;
  fail(null);
  const ending = begin();
  settle();
  say("Reading the prompt …");
  try {
    say(ended(await ending));
  } catch (error) {
    if (!(error instanceof ApiError)) console.error(error);
    say("Ended with an error.");
    fail(error);
  }
  const focused = document.activeElement;
  settle();
  if (focused === $("stop")) ($("go-on").disabled ? $("write") : $("go-on")).focus();
}

function ended({ why, tokens }) {
  const made = count(tokens, "token");
  switch (why) {
    case "abort": return `Stopped after ${made}.`;
    case "length": return `${made}, as many as were asked for. It can go on.`;
    default: return `Ended by itself, or at a stop string, after ${made}.`;
  }
}

const write = () => run(() => writer.begin(prompt.value, (room) => controls.fields(room)));
const goOn = () => text.length > 0 && run(() => writer.goOn((room) => controls.fields(room)));

function clear() {
  writer.abort();
  writer.replaced();
  writer.clear();
  fail(null);
  say("");
  prompt.value = "";
  prompt.focus();
  settle();
}

writer.drawn = () => {  // once per frame with something new
  choice.offer();
  if (show("show-reach")) mark();
  if (choice.cell) card.place(choice.cell);
};
writer.replaced = () => { choice.forget(); marks.clear(); };
writer.started = () => { say("Writing …"); settle(); };

$("write").addEventListener("click", write);
$("stop").addEventListener("click", () => writer.abort());
$("go-on").addEventListener("click", goOn);
$("clear").addEventListener("click", clear);
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(text.string());
    say("The text is copied.");
  } catch {
    say("The browser doesn't let this page copy: select the text instead.");
  }
});
for (const example of document.querySelectorAll("#examples button")) {
  example.addEventListener("click", () => {
    prompt.value = example.textContent;
    prompt.focus();
  });
}

function view() {
  text.element.classList.toggle("coloured", show("colour"));
  text.element.classList.toggle("prompt-too", show("colour-prompt"));
  $("colour-prompt").disabled = !show("colour");
  $("shades").hidden = !show("colour");
  $("zones").hidden = !show("show-reach");
  text.element.classList.toggle("edges", show("show-reach"));
  look(choice.cell);
}
for (const name of ["colour", "colour-prompt", "show-reach"]) $(name).addEventListener("change", view);

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.ctrlKey) {
    event.preventDefault();
    if (event.shiftKey) goOn();
    else write();
  } else if (event.key === "Escape") {
    if (writer.running) writer.abort();
    else choice.drop();
  }
});
// While a text is written its button to stop is always in sight.
new IntersectionObserver(([place]) => document.body.classList.toggle("away", !place.isIntersecting)).observe($("actions-place"));
addEventListener("resize", () => { if (choice.cell) card.place(choice.cell); });

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey($("key").value.trim());
  $("key").value = "";
  learn().then(() => { if (model) prompt.focus(); });
});
$("key-button").addEventListener("click", () => {
  $("key-form").hidden = !$("key-form").hidden;
  if (!$("key-form").hidden) $("key").focus();
});

if (matchMedia("(min-width: 62rem)").matches) $("sampling-box").open = $("model-box").open = true;
if (hasKey()) $("key-button").hidden = false;
view();
settle();
learn();
