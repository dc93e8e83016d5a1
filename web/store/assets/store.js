// What script adds: suggestions while typing, one order for a double click, live news of an order, and passkeys, which browsers
// have for scripts only. Everything else works without it.
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
  document.addEventListener("submit", (e) => {
    const form = e.target;
    if (!form.matches("[data-once]")) return;
    if (form.dataset.sent) return e.preventDefault();
    form.dataset.sent = "1";
    const button = form.querySelector("button[type=submit], button:not([type])");
    if (button) { button.setAttribute("aria-disabled", "true"); button.textContent = button.dataset.busy || button.textContent; }
  });
  addEventListener("pageshow", () => { for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent; });

  // A form that takes a passkey has the browser make or use one before it is sent. Where it cannot, the form stays hidden.
  for (const form of document.querySelectorAll("[data-passkey]")) {
    const { passkey: how, options, domain } = form.dataset;
    const parse = how === "create" ? "parseCreationOptionsFromJSON" : "parseRequestOptionsFromJSON";
    if (!globalThis.PublicKeyCredential?.[parse] || !(location.hostname === domain || location.hostname.endsWith("." + domain))) continue;
    form.hidden = false;
    const said = form.querySelector("[role=status]");
    let busy = false;
    form.addEventListener("submit", async (e) => {
      e.preventDefault();
      if (busy) return;
      busy = true;
      said.textContent = "";
      try {
        const answer = await fetch(options, { headers: { accept: "application/json" } });
        const told = await answer.json();
        if (answer.ok) {
          const made = await navigator.credentials[how]({ publicKey: PublicKeyCredential[parse](told) });
          form.elements.answer.value = JSON.stringify(made);
          return form.submit();
        }
        said.textContent = told.wrong;
      } catch (wrong) {
        said.textContent = wrong.name === "InvalidStateError" ? "This device has a passkey of yours already." : "No passkey was used. Try again, or use your password.";
      } finally { busy = false; }
    });
  }

  // What went wrong is read out first.
  document.getElementById("problems")?.focus();

  // A part of the page becomes what it is now. What one has opened or typed there, or is at, stays; so does a form's key.
  const refresh = (part, now) => {
    const fields = [...part.querySelectorAll("input, select")], at = part.contains(document.activeElement) && document.activeElement;
    for (const f of fields) if (f.type === "hidden") now.querySelector(`input[name="${f.name}"]`)?.setAttribute("value", f.value);
    if (part.innerHTML === now.innerHTML) return;
    const open = [...part.querySelectorAll("details[open]")].map((d) => d.id), typed = fields.filter((f) => f.id).map((f) => [f.id, f.value]);
    part.replaceChildren(...now.childNodes);
    const find = (id) => part.querySelector("#" + CSS.escape(id));
    for (const id of open) find(id)?.setAttribute("open", "");
    for (const [id, value] of typed) { const f = find(id); if (f) f.value = value; }
    if (at) { const to = (at.id && find(at.id)) || part; if (to === part) part.tabIndex = -1; to.focus(); }
  };

  // An order that is still on its way tells its news. While one of its forms is being sent the answer shows them.
  const live = document.querySelector("[data-live]");
  if (live && "EventSource" in window) {
    const source = new EventSource(live.dataset.live);
    source.addEventListener("changed", async () => {
      const answer = await fetch(live.dataset.page, { headers: { accept: "text/html" } });
      if (!answer.ok) return;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (document.querySelector("[data-sent]")) return;
      for (const part of document.querySelectorAll("[data-part]")) { const now = next.getElementById(part.id); if (now) refresh(part, now); }
    });
    source.addEventListener("ended", () => source.close());
    addEventListener("pagehide", () => source.close());
  }
})();
