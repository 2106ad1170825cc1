// Formulas and tables that are wider than the page scroll in a box of their own. Such a box can be
// reached by Tab, so that arrow keys move it; one that shows everything is no stop.
(() => {
  const BOXES = "div.math, mjx-container[display='true'], .pst-scrollable-table-container";
  const fit = () => {
    for (const box of document.querySelectorAll(BOXES)) {
      const scrolls = box.scrollWidth > box.clientWidth + 1
        && ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
      if (scrolls === box.hasAttribute("data-scrolls")) continue;
      box.toggleAttribute("data-scrolls", scrolls);
      if (scrolls) {
        box.tabIndex = 0;
        box.setAttribute("role", "group");
        const what = box.matches(".pst-scrollable-table-container") ? "Table" : "Formula";
        box.setAttribute("aria-label", `${what}, scrolls sideways`);
      } else {
        for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
      }
    }
  };
  let planned = 0;
  const soon = () => {
    cancelAnimationFrame(planned);
    planned = requestAnimationFrame(fit);
  };
  addEventListener("load", () => {
    globalThis.MathJax?.startup?.promise?.then(soon);
    // tabs, folded boxes and fonts change widths as well as the window does
    new ResizeObserver(soon).observe(document.querySelector("article") ?? document.body);
    document.addEventListener("toggle", soon, true);
    soon();
  });
})();
