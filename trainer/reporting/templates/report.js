"use strict";
// Charts: show the values of the point next to the pointer, or walk through the points with the arrow keys.
for (const svg of document.querySelectorAll("svg[data-points]")) {
  const points = JSON.parse(svg.dataset.points);
  if (!points.length) continue;
  const circle = svg.querySelector(".nearest");
  const output = svg.parentElement.querySelector("output");
  let current = points.length - 1;
  const show = (index) => {
    current = index;
    const [x, y, text] = points[index];
    circle.setAttribute("cx", x);
    circle.setAttribute("cy", y);
    output.textContent = text;
  };
  const nearest = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const distance = ([x, y]) => (x - at.x) ** 2 + (y - at.y) ** 2;
    show(points.reduce((best, point, i) => (distance(point) < distance(points[best]) ? i : best), 0));
  };
  svg.addEventListener("pointermove", nearest);
  svg.addEventListener("pointerdown", nearest);
  svg.tabIndex = 0;
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show(Math.max(0, Math.min(points.length - 1, current + step)));
  });
  output.textContent = "Point at the chart to read its values.";
}
// Galleries: hide the cards that do not pass the filter of their section.
for (const form of document.querySelectorAll("form.filter")) {
  const galleries = [...form.closest("section").querySelectorAll(".gallery")];
  const passes = ({ dataset }) => {
    const { text, source, length, low, high } = Object.fromEntries(new FormData(form));
    const confidence = 100 * dataset.confidence;
    return (
      dataset.text.includes(text.trim().toLowerCase()) &&
      (!source || dataset.source === source) &&
      (!length || dataset.length === length) &&
      (!low || confidence >= Number(low)) &&
      (!high || confidence <= Number(high))
    );
  };
  const apply = (event) => {
    let shown = 0;
    let total = 0;
    for (const gallery of galleries) {
      const cards = [...gallery.querySelectorAll(".card")];
      for (const card of cards) card.hidden = !passes(card);
      const more = gallery.querySelector(".more");
      if (more && event?.type === "input") more.open = true;
      const left = cards.filter((card) => !card.hidden).length;
      const none = gallery.querySelector(".none");
      if (none) none.hidden = left > 0;
      shown += left;
      total += cards.length;
    }
    form.querySelector("output").textContent = `${shown} of ${total} images`;
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  apply();
}
