"use strict";
for (const form of document.querySelectorAll("form.filters")) {
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
}
for (const form of document.querySelectorAll("form[data-for]")) {
  const rows = [...document.querySelectorAll(`#${form.dataset.for} tbody tr`)];
  const filter = () => {
    let shown = 0;
    for (const row of rows) {
      row.hidden = [...form.elements].some(
        (e) => e.name && e.value && row.dataset[e.name] !== e.value
      );
      if (!row.hidden) shown += 1;
    }
    form.querySelector("output").textContent =
      shown === rows.length ? "" : `${shown} of ${rows.length} rows`;
  };
  form.addEventListener("input", filter);
  filter();
}
for (const gallery of document.querySelectorAll(".gallery")) {
  const slider = gallery.querySelector("[name=frame]");
  const shown = gallery.querySelector("[name=shown]");
  const names = slider.dataset.names.split("|");
  const update = () => {
    gallery.querySelector("output").textContent = names[slider.value];
    slider.setAttribute("aria-valuetext", names[slider.value]);
    for (const frame of gallery.querySelectorAll(".frame"))
      frame.hidden = frame.dataset.frame !== slider.value;
    for (const exhibit of gallery.querySelectorAll(".exhibit"))
      exhibit.hidden = shown.value !== "" && !exhibit.classList.contains(shown.value);
  };
  gallery.addEventListener("input", update);
  update();
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
const tip = document.createElement("div");
tip.id = "tip";
tip.setAttribute("role", "tooltip");
tip.hidden = true;
document.body.append(tip);
const forget = () => {
  tip.hidden = true;
  document.querySelector("[aria-describedby=tip]")?.removeAttribute("aria-describedby");
};
const explain = (event) => {
  if (event.target === tip) return;
  forget();
  const term = event.target.closest?.(".term");
  if (!term) return;
  tip.hidden = false;
  tip.style.left = "0";
  tip.textContent = term.dataset.tip;
  term.setAttribute("aria-describedby", "tip");
  const at = term.getBoundingClientRect();
  const left = Math.min(at.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(8, left) + scrollX}px`;
  const fits = at.bottom + tip.offsetHeight < document.documentElement.clientHeight;
  tip.style.top = `${(fits ? at.bottom : at.top - tip.offsetHeight) + scrollY}px`;
};
for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, explain);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") forget();
});
