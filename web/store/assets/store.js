// What script adds: suggestions while typing, one order for a double click, and live news of an order. Everything works
// without it.
(() => {
  "use strict";

  const box = document.querySelector("[data-suggest]");
  if (box) {
    const list = document.createElement("ul");
    list.className = "suggest";
    list.id = "suggestions";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Suggestions");
    list.hidden = true;
    box.after(list);
    box.setAttribute("role", "combobox");
    box.setAttribute("aria-controls", list.id);
    box.setAttribute("aria-autocomplete", "list");
    box.setAttribute("aria-expanded", "false");
    let at = -1, timer, asked = 0;
    const show = (on) => { list.hidden = !on; box.setAttribute("aria-expanded", String(on)); if (!on) { at = -1; box.removeAttribute("aria-activedescendant"); } };
    const mark = (n) => {
      const items = [...list.children];
      if (!items.length) return;
      at = (n + items.length) % items.length;
      items.forEach((li, i) => li.setAttribute("aria-selected", String(i === at)));
      box.setAttribute("aria-activedescendant", items[at].id);
    };
    const take = (text) => { box.value = text; show(false); box.form.requestSubmit(); };
    const ask = async () => {
      const prefix = box.value.trim(), mine = ++asked;
      if (prefix.length < 2) return show(false);
      try {
        const answer = await fetch("/suggest?q=" + encodeURIComponent(prefix), { headers: { accept: "application/json" } });
        const words = answer.ok ? await answer.json() : [];
        if (mine !== asked) return;
        list.replaceChildren(...words.map((word, i) => {
          const li = document.createElement("li");
          li.id = "suggestion-" + i;
          li.setAttribute("role", "option");
          li.setAttribute("aria-selected", "false");
          li.textContent = word;
          li.addEventListener("mousedown", (e) => { e.preventDefault(); take(word); });
          return li;
        }));
        show(words.length > 0 && document.activeElement === box);
      } catch { show(false); }
    };
    box.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, 120); });
    box.addEventListener("blur", () => show(false));
    box.addEventListener("keydown", (e) => {
      if (list.hidden) return;
      if (e.key === "ArrowDown") { e.preventDefault(); mark(at + 1); }
      else if (e.key === "ArrowUp") { e.preventDefault(); mark(at - 1); }
      else if (e.key === "Escape") show(false);
      else if (e.key === "Enter" && at >= 0) { e.preventDefault(); take(list.children[at].textContent); }
    });
  }

  // A form that must be sent once says so; its key makes a second sending harmless all the same.
  for (const form of document.querySelectorAll("form[data-once]")) {
    form.addEventListener("submit", (e) => {
      if (form.dataset.sent) return e.preventDefault();
      form.dataset.sent = "1";
      const button = form.querySelector("button[type=submit], button:not([type])");
      if (button) { button.setAttribute("aria-disabled", "true"); button.textContent = button.dataset.busy || button.textContent; }
    });
    addEventListener("pageshow", () => { delete form.dataset.sent; });
  }

  // What went wrong is read out first.
  document.getElementById("problems")?.focus();

  // An order that is still on its way tells its news.
  const live = document.querySelector("[data-live]");
  if (live && "EventSource" in window) {
    const source = new EventSource(live.dataset.live);
    source.addEventListener("changed", async () => {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok) return;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
      if (next) live.replaceChildren(...next.childNodes);
    });
    source.addEventListener("ended", () => source.close());
    addEventListener("pagehide", () => source.close());
  }
})();
