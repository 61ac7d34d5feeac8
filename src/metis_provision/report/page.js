// Filters the hosts and opens the one that a link leads to; without it the page shows everything.
"use strict";
(() => {
  const form = document.getElementById("tools");
  if (!form) return;
  const field = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const nothing = document.getElementById("nothing");
  const buttons = [...form.querySelectorAll("button")];
  const hosts = [...document.querySelectorAll(".host")].map((element) => ({
    element,
    standing: element.dataset.standing,
    text: element.textContent.toLowerCase(),
  }));

  function filter() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(buttons.filter((b) => b.ariaPressed === "true").map((b) => b.dataset.standing));
    let matching = 0;
    for (const host of hosts) {
      const fits = (wanted.size === 0 || wanted.has(host.standing)) && words.every((word) => host.text.includes(word));
      if (host.element.hidden === fits) host.element.hidden = !fits;
      matching += fits;
    }
    shown.value = `${matching} of ${hosts.length}`;
    nothing.hidden = matching > 0;
  }

  function openTarget() {
    const target = document.getElementById(location.hash.slice(1));
    if (!target || !target.classList.contains("host")) return;
    if (target.hidden) {
      field.value = "";
      buttons.forEach((button) => { button.ariaPressed = "false"; });
      filter();
    }
    target.open = true;
    target.scrollIntoView();
  }

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  field.addEventListener("input", filter);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      button.ariaPressed = button.ariaPressed === "true" ? "false" : "true";
      filter();
    });
  }
  addEventListener("hashchange", openTarget);
  addEventListener("beforeprint", () => {
    for (const host of hosts) if (host.standing !== "green") host.element.open = true;
  });
  filter();
  openTarget();
})();
