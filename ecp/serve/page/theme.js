// The theme that was chosen, before anything is drawn; then the button that changes it.
"use strict";
(() => {
  const themes = ["auto", "light", "dark"];
  const read = () => {
    try {
      return localStorage.getItem("ecp-theme");
    } catch {
      return null;  // storage may be forbidden
    }
  };
  let theme = themes.includes(read()) ? read() : "auto";
  const apply = () => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const say = () => { button.querySelector("span").textContent = theme; };
    button.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      apply();
      say();
      try {
        localStorage.setItem("ecp-theme", theme);
      } catch { /* it holds until the page is left */ }
    });
    say();
  });
})();
