#include "ecp/experiment/page.h"

#include <fmt/core.h>

#include "ecp/experiment/html.h"

namespace ecp {
namespace {

// The series' colours keep apart for the colour-blind and have a contrast of at least 4.5 to the page, in
// light and in dark; beyond the fourth, strokes differ as well.
constexpr const char* style = R"(
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f24; --quiet: #5b6673; --rule: #d9dee4; --soft: #f4f6f8;
  --s0: #0069a8; --s1: #b84a00; --s2: #007a5a; --s3: #a6397d; --s4: #7d6200; --s5: #5d6874; --s6: #5b3fb8;
  --s7: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171b; --ink: #e4e8ec; --quiet: #9aa5b1; --rule: #343b43; --soft: #1d2228;
    --s0: #6cb0f5; --s1: #f2a35e; --s2: #4ccba0; --s3: #e58cc4; --s4: #e3cb5c; --s5: #aeb8c4; --s6: #b7a5ff;
    --s7: #ff8a80; }
}
.s0 { --c: var(--s0); } .s1 { --c: var(--s1); } .s2 { --c: var(--s2); } .s3 { --c: var(--s3); }
.s4 { --c: var(--s4); --dash: 8 3; } .s5 { --c: var(--s5); --dash: 2 2; } .s6 { --c: var(--s6); --dash: 8 3 2 3; }
.s7 { --c: var(--s7); --dash: 4 4; } .again { --dash: 14 3 3 3 3 3; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 4rem; max-width: 66rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: .4rem 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .3rem 0; }
.quiet, figcaption, th, dt { color: var(--quiet); }
.tip .key, th .key { max-width: 100%; }
.note { border-left: .25rem solid var(--s1); padding: .3rem .8rem; background: var(--soft); overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.facts div { background: var(--soft); border-radius: .5rem; padding: .5rem .8rem; }
dl, dd { margin: 0; }
dt { font-size: .85rem; }
dd { font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem 1.5rem; }
figure { margin: 0; min-width: 0; }
figcaption b { color: var(--ink); margin-right: .5rem; }
svg { display: block; width: 100%; height: auto; touch-action: pan-y; }
svg text { font: 12.5px system-ui, sans-serif; fill: var(--quiet); }
.x { text-anchor: middle; }
.y { text-anchor: end; }
.grid { stroke: var(--rule); stroke-width: 1; }
.axis { stroke: var(--quiet); stroke-width: 1; }
.mark { stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 2 3; }
.cursor { stroke: var(--quiet); stroke-width: 1; visibility: hidden; }
.line { fill: none; stroke: var(--c); stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round;
  stroke-dasharray: var(--dash, none); }
.s1.line { stroke-width: 2.2; }
circle, .fill { fill: var(--c); }
.cells { fill: none; stroke: var(--rule); stroke-width: .06; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 9.5rem), 1fr)); gap: 1.1rem 1.2rem; }
.wide.pictures { grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
.pictures figure { display: flex; flex-direction: column; justify-content: space-between; }
.pictures figcaption { font-size: .85rem; line-height: 1.35; margin-bottom: .3rem; }
.key { display: inline-block; margin-right: .6rem; overflow-wrap: break-word; color: var(--ink); }
.key::before { content: ""; display: inline-block; width: 1.2em; height: .28em; margin-right: .4em;
  vertical-align: middle; border-radius: .14em; background: var(--c); }
.legend { position: sticky; top: 0; z-index: 1; max-height: 6.4rem; overflow: auto; padding: .4rem 0; margin: 0 0 .6rem;
  background: var(--page); border-bottom: 1px solid var(--rule); }
.tip { position: absolute; z-index: 2; pointer-events: none; padding: .3rem .6rem; border-radius: .4rem;
  background: var(--soft); border: 1px solid var(--rule); font-size: .85rem; max-width: 18rem;
  font-variant-numeric: tabular-nums; }
.tip div { overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.scroll + p { margin-top: .8rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { font-weight: 500; font-size: .9rem; }
td.number, th.number { text-align: right; }
td.number { white-space: nowrap; }
th[scope=row] { color: var(--ink); position: sticky; left: 0; background: var(--page); min-width: 9rem; max-width: 14rem;
  overflow-wrap: break-word; }
.costs th[scope=row] { white-space: nowrap; max-width: none; padding-right: .5rem; }
.pairs { width: 100%; table-layout: fixed; }
.pairs td { overflow-wrap: anywhere; font-size: .92rem; }
.pairs td:first-child { color: var(--quiet); width: 42%; }
blockquote { margin: .5rem 0; padding: .8rem 1rem; background: var(--soft); border-left: .25rem solid var(--s0);
  border-radius: 0 .4rem .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; font: 1rem/1.55 Georgia, serif; }
summary { cursor: pointer; padding: .25rem 0; overflow-wrap: anywhere; }
:focus-visible { outline: 2px solid var(--s0); outline-offset: 2px; }
@media (max-width: 30rem) { th[scope=row] { max-width: 9rem; } }
@media print { .legend { position: static; } }
)";

// Values under the pointer, or at a cursor that the arrow keys move. All text goes in as text.
constexpr const char* script = R"(
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);
  const number = (value) => Number.isNaN(value) ? "–" :
    Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(5)));
  const nearest = (xs, x) => {
    let low = 0, high = xs.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle + 1; else high = middle;
    }
    return low > 0 && x - xs[low - 1] < xs[low] - x ? low - 1 : low;
  };
  for (const svg of document.querySelectorAll("svg.chart")) {
    const [first, last, left, right] = svg.dataset.range.split(",").map(Number);
    // Along the axis: the number itself, or its logarithm.
    const along = svg.dataset.logX ? Math.log : (x) => x, back = svg.dataset.logX ? Math.exp : (x) => x;
    const least = along(first), most = along(last);
    const cursor = svg.querySelector(".cursor");
    const series = [...svg.querySelectorAll(".line")].map((line) => ({
      name: line.dataset.name, classes: line.getAttribute("class").replace("line", "key"),
      x: line.dataset.x.split(",").map((x) => along(Number(x))), y: line.dataset.y.split(",").map(Number) }));
    let at = most;
    const show = (x, pageX, pageY) => {
      const hits = series.map((one) => ({ ...one, i: nearest(one.x, x) }));
      at = hits.map((one) => one.x[one.i]).reduce((a, b) => Math.abs(b - x) < Math.abs(a - x) ? b : a);
      const px = most > least ? left + (at - least) / (most - least) * (right - left) : (left + right) / 2;
      cursor.setAttribute("transform", `translate(${px} 0)`);
      cursor.style.visibility = "visible";
      const head = document.createElement("div");
      head.textContent = `${svg.dataset.xLabel} ${number(back(at))}`;
      const close = (most - least) / 20;
      const rows = hits.filter((one) => Math.abs(one.x[one.i] - at) <= close).map((one) => {
        const row = document.createElement("div"), key = document.createElement("span");
        key.className = one.classes;
        key.textContent = one.name;
        row.append(key, number(one.y[one.i]));
        return row;
      });
      tip.replaceChildren(head, ...rows);
      tip.hidden = false;
      const space = document.documentElement.clientWidth - tip.offsetWidth - 8;
      tip.style.left = `${Math.max(4, Math.min(pageX + 14, space))}px`;
      tip.style.top = `${pageY + 18}px`;
    };
    const hide = () => { tip.hidden = true; cursor.style.visibility = "hidden"; };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const px = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
      show(least + (px - left) / (right - left) * (most - least), event.pageX, event.pageY);
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way) return;
      event.preventDefault();
      const box = svg.getBoundingClientRect();
      show(Math.max(least, Math.min(most, at + way * (most - least) / 40)), box.left + scrollX + 40,
        box.top + scrollY);
    });
  }
})();
)";

}  // namespace

std::string html_page(std::string_view title, std::string_view body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "script-src 'unsafe-inline'\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n{}<script>{}</script>\n</body>\n</html>\n",
      escape_html(title), style, body, script);
}

}  // namespace ecp
