// "Real or generated?": ten rounds, each by the toss of a fair coin; then what the score says, and
// for every picture the nearest of the model's training pictures.

import { interval } from "./binomial.js";
import { SETS } from "./quiz-data.js";
import { twister } from "./random.js";
import { button, choices, element } from "./shared.js";

export const ROUNDS = 10;
const ROWS = { real: 0, generated: 2 }; // of a sheet; the row below holds the nearest
const percent = (x) => `${Math.round(100 * x)} %`;

/** Ten rounds from a seed: which kind, and which of its pictures; no picture twice. */
export function rounds(seed, count) {
  const draw = twister(seed);
  const taken = new Set();
  return Array.from({ length: ROUNDS }, () => {
    const kind = draw() < 2 ** 31 ? "real" : "generated";
    let number;
    do number = draw() % count; while (taken.has(`${kind} ${number}`));
    taken.add(`${kind} ${number}`);
    return { kind, number };
  });
}

/** What `right` of `n` right answers say, in a sentence. */
export function meaning(right, n) {
  const [low, high] = interval(right, n);
  const range = `the chance of a right answer behind this score lies between ${percent(low)} and ${percent(high)}`;
  if (low > 0.5) return `With 95 % confidence ${range}: you can tell them apart.`;
  if (high < 0.5) return `With 95 % confidence ${range}: you see a difference, and take it the wrong way round.`;
  return `With 95 % confidence ${range}. Guessing, 50 %, is among it: this score proves nothing yet.`;
}

/** The share with its interval, drawn as a line on [0, 1] with a mark at one half. */
function ruler(right, n) {
  const [low, high] = interval(right, n);
  const bar = element("div", { className: "gb-quiz-ruler", role: "img",
    "aria-label": `${percent(right / n)} right, interval from ${percent(low)} to ${percent(high)}; guessing is 50 %` });
  const range = element("i", { className: "gb-quiz-range" });
  Object.assign(range.style, { left: `${100 * low}%`, width: `${100 * (high - low)}%` });
  const dot = element("i", { className: "gb-quiz-dot" });
  dot.style.left = `${(100 * right) / n}%`;
  bar.append(range, element("i", { className: "gb-quiz-half" }), dot,
    element("span", { className: "gb-quiz-zero" }, "0 %"), element("span", {}, "guessing"),
    element("span", { className: "gb-quiz-one" }, "100 %"));
  return bar;
}

/** One picture of a sheet, as large as its box. */
function picture(set, base, row, number, label) {
  const node = element("div", { className: "gb-quiz-picture", role: "img", "aria-label": label });
  Object.assign(node.style, {
    backgroundImage: `url("${base}quiz-${set.name}.png")`,
    backgroundSize: `${100 * set.count}% 400%`,
    backgroundPosition: `${(100 * number) / (set.count - 1)}% ${(100 * row) / 3}%`,
  });
  return node;
}

/** The whole game in `node`; `base` is where the sheets lie. */
export function quiz(node, base, seed = () => Math.floor(Math.random() * 2 ** 32)) {
  const totals = new Map(SETS.map(({ name }) => [name, { right: 0, n: 0 }]));
  let set = SETS[0];
  let asked = [];
  let answers = [];
  const stage = element("div", { className: "gb-quiz" });
  const which = choices("The generated pictures are painted by", "quiz-set",
    SETS.map(({ name, size }) => [name, `${name}, ${size} \u00d7 ${size}`]), set.name, (name) => {
      set = SETS.find((one) => one.name === name);
      begin();
    });
  const count = element("p", { className: "gb-quiz-count", role: "status" });
  const shown = element("div", { className: "gb-quiz-shown" });
  const buttons = element("div", { className: "gb-buttons gb-quiz-answers" },
    button("Real", () => answer("real"), { className: "gb-main" }),
    button("Generated", () => answer("generated"), { className: "gb-main" }));
  const end = element("div", {});
  stage.append(which, element("div", { className: "gb-quiz-stage" }, count, shown, buttons), end);
  node.append(stage);

  function begin() {
    asked = rounds(seed(), set.count);
    answers = [];
    end.replaceChildren();
    stage.querySelector(".gb-quiz-stage").hidden = false;
    ask();
  }

  function ask() {
    const { kind, number } = asked[answers.length];
    count.textContent = `Picture ${answers.length + 1} of ${ROUNDS}`;
    shown.replaceChildren(picture(set, base, ROWS[kind], number, "A small picture, real or generated"));
  }

  function answer(said) {
    answers.push(said);
    if (answers.length < ROUNDS) ask();
    else tell();
  }

  function tell() {
    const right = answers.filter((said, i) => said === asked[i].kind).length;
    const total = totals.get(set.name);
    total.right += right;
    total.n += ROUNDS;
    stage.querySelector(".gb-quiz-stage").hidden = true;
    const title = element("h3", { tabIndex: -1 }, `${right} of ${ROUNDS} right`);
    const score = [title, ruler(right, ROUNDS), element("p", {}, meaning(right, ROUNDS))];
    if (total.n > ROUNDS) {
      score.push(element("p", {}, element("strong", {}, `All your rounds: ${total.right} of ${total.n}. `),
        meaning(total.right, total.n)), ruler(total.right, total.n));
    }
    const cards = asked.map(({ kind, number }, i) => {
      const good = answers[i] === kind;
      const near = set[kind][number];
      return element("li", { className: good ? "gb-quiz-good" : "gb-quiz-bad" },
        element("div", { className: "gb-quiz-pair" },
          picture(set, base, ROWS[kind], number, `Picture ${i + 1}, ${kind}`),
          picture(set, base, ROWS[kind] + 1, number, "its nearest training picture")),
        element("p", {}, element("strong", {}, `${good ? "\u2713" : "\u2717"} ${kind}`),
          good ? "" : `, you said ${answers[i]}`, element("br"), `distance ${near.toFixed(2)}`));
    });
    end.replaceChildren(...score,
      element("div", { className: "gb-buttons" }, button("Ten more", () => {
        begin();
        buttons.firstChild.focus();
      }, { className: "gb-main" })),
      element("p", { className: "gb-live-note" }, `Left the picture, right the nearest of the ${set.trained.toLocaleString("en")} pictures that `
        + "the model learned from, after a flip, a shift or a recoloring. Distance 0 is a copy, 1 has nothing in common."),
      element("ol", { className: "gb-quiz-cards" }, ...cards));
    title.focus({ preventScroll: true });
  }

  begin();
}
