// Makes a built page ready for paper; Chromium calls it with the layout of the printed page.
// facts: {page, title, site, live, film, height}. Returns the page's title, its sections, what is
// still wider than the page.
async (facts) => {
  const article = document.querySelector(".bd-article");
  const all = (selector) => [...article.querySelectorAll(selector)];
  const say = (after, text) => {
    const line = document.createElement("p");
    line.className = "gb-elsewhere";
    const link = document.createElement("a");
    link.href = link.textContent = `${facts.site}${facts.page}.html`;
    line.append(`${text}: `, link, ".");
    after.after(line);
  };

  // Nothing is folded on paper; the cell that installs the package is for notebooks.
  for (const cell of all(".gb-setup")) cell.remove();
  for (const fold of all("details")) fold.open = true;
  const heading = article.querySelector("h1");
  if (facts.title) {
    heading.textContent = facts.title;
    const cover = article.querySelector('p:has(> img[src$="cover.png"])');
    if (cover?.nextElementSibling?.querySelector(":scope > em:only-child")) {
      cover.nextElementSibling.remove();
    }
    cover?.remove();
  }

  for (const figure of all(".gb-live")) {
    const shows = figure.querySelector("img") || figure.innerText.trim();
    if (shows || !facts.title) say(figure, facts.live);
    if (!shows) figure.remove(); // it paints anew what stands above it
  }
  for (const film of all(".animation")) say(film, facts.film);

  await document.fonts.ready;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));

  // What is wider than the page becomes smaller: formulas, tables.
  for (const formula of all('mjx-container[display="true"]')) {
    const room = formula.parentElement.clientWidth;
    for (let size = 106; formula.scrollWidth > room && size > 60; ) {
      size *= Math.min(0.98, room / formula.scrollWidth);
      formula.style.setProperty("font-size", `${size}%`, "important");
    }
  }
  const tooWide = (table) => table.offsetWidth / table.parentElement.clientWidth;
  for (const table of all("table")) {
    if (tooWide(table) > 1.25) {
      for (const cell of table.querySelectorAll("th, td")) cell.style.overflowWrap = "anywhere";
    }
    if (tooWide(table) > 1.001) table.style.zoom = 0.995 / tooWide(table);
  }

  // Lines of code and of output that are a little too long, too; the others wrap.
  for (const text of all("pre")) {
    const room = text.offsetWidth;
    text.style.setProperty("white-space", "pre", "important");
    text.style.width = "max-content";
    const ratio = text.offsetWidth / room;
    text.style.whiteSpace = text.style.width = "";
    if (ratio > 1 && ratio < 1.4) {
      text.style.fontSize = `${(0.99 * parseFloat(getComputedStyle(text).fontSize)) / ratio}px`;
    }
  }

  // No line begins with the comma or the dot behind a formula.
  for (const formula of all("mjx-container:not([display])")) {
    const whole = formula.closest("span.math") ?? formula;
    const next = whole.nextSibling;
    const marks = next?.nodeType === Node.TEXT_NODE && /^[-.,;:!?)\]’”]+\S*/.exec(next.data);
    if (marks) {
      const together = document.createElement("span");
      together.style.whiteSpace = "nowrap";
      whole.before(together);
      together.append(whole, marks[0]);
      next.data = next.data.slice(marks[0].length);
    }
  }

  // Short pieces stay in one; a cell with a picture, too, and a line that introduces something.
  const KEPT =
    "div.cell, div.cell_input, div.output, div.literal-block-wrapper, details, figure, table, pre";
  const low = (node, part) => node.offsetHeight < part * facts.height;
  for (const piece of all(KEPT)) {
    const code = piece.matches(".cell:has(img)") && piece.querySelector(".cell_input");
    const part = code && low(code, 0.3) ? 0.95 : 0.28;
    if (low(piece, part) && !piece.closest(".gb-keep")) piece.classList.add("gb-keep");
  }
  for (const line of all("p:not(td p)")) {
    if (/[:?]\s*$/.test(line.textContent) && low(line, 0.2)) line.classList.add("gb-before-block");
  }

  // Chromium writes down the places of ids that some link of the page names.
  for (const place of all("[id]")) {
    const link = document.createElement("a");
    link.href = `#${place.id}`;
    link.hidden = true;
    document.body.append(link);
  }

  const right = article.getBoundingClientRect().right + 1;
  const reaches = (node) => node.getBoundingClientRect().right > right;
  const wide = all("*").filter(
    (node) => reaches(node) && !reaches(node.parentElement) && !node.closest("mjx-assistive-mml"),
  );
  const name = (node) => {
    const copy = node.cloneNode(true);
    copy.querySelector(".headerlink")?.remove();
    return copy.textContent.trim().replace(/\s+/g, " ");
  };
  return {
    title: name(heading),
    sections: all("section[id] > h2").map((head) => [head.parentElement.id, name(head)]),
    wide: wide.map((node) => `${node.tagName} ${node.textContent.trim().slice(0, 40)}`),
  };
}
