// A training to wind back: samples, losses, logits, distance and coverage under one slider.

import { chart, told } from "./plot.js";
import { fromFolder, moments, points, upTo, valueAt } from "./replay.js";
import { RUNS } from "./runs-data.js";
import {
  announcer, button, canvas, colors, element, field, mount, onLook, select, slider,
} from "./shared.js";

const BASE = "_static/live/";
const WIDTH = 520;
const [COLUMNS, SIDE, TILE, GAP, MARGIN] = [6, 16, 80, 6, 5]; // of a recorded run's pictures
const SECONDS = 14; // of a whole film
const thousands = (x) => Math.round(x).toLocaleString("en");
const seen = (now) => `${thousands(now)} images`;

/** A picture file, ready to be drawn. */
function loaded(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error(`${address} could not be loaded`));
    image.src = address;
  });
}

/** How a recorded run draws frame `i`: 24 pictures out of its sheet, a row for each frame. */
function recorded(facts) {
  let sheet = null;
  return {
    ...facts,
    loss: "relativistic",
    height: 4 * TILE + 3 * GAP + 2 * MARGIN,
    async draw(context, i) {
      sheet ??= await loaded(`${BASE}run-${facts.name}.webp`);
      context.imageSmoothingEnabled = false;
      for (let k = 0; k < sheet.width / SIDE; k += 1) {
        const left = MARGIN + (k % COLUMNS) * (TILE + GAP);
        const top = MARGIN + Math.floor(k / COLUMNS) * (TILE + GAP);
        context.drawImage(sheet, k * SIDE, i * SIDE, SIDE, SIDE, left, top, TILE, TILE);
      }
    },
  };
}

/** How a reader's run draws frame `i`: the sample grid as it lies in the folder. */
async function own(run) {
  const opened = new Map();
  const open = (i) => {
    if (!opened.has(i)) opened.set(i, createImageBitmap(run.grids[i]));
    return opened.get(i);
  };
  const first = run.frames.length ? await open(0) : { width: 4, height: 1 };
  const height = Math.round((WIDTH * first.height) / first.width);
  return {
    ...run,
    height,
    async draw(context, i) {
      context.drawImage(await open(i), 0, 0, WIDTH, height);
    },
  };
}

function start(place) {
  const runs = RUNS.map(recorded);
  const state = { run: runs[0], times: [], playing: null, frame: NaN };
  let screen = null;
  const stage = element("div", { className: "gb-stage" });
  const plots = {
    logits: canvas(360, 165, ""), losses: canvas(360, 150, ""),
    kid: canvas(360, 150, ""), coverage: canvas(360, 150, ""),
  };
  const said = announcer();
  const caption = element("small");

  const menu = select("replay-run", [], "", () => choose(runs[Number(menu.value)]));
  const time = slider("replay-time", {
    min: 0, max: 1, step: 1, value: 0, format: (i) => seen(state.times[i] ?? 0),
  }, () => {
    stop();
    draw();
  });
  time.querySelector("input").addEventListener("change", () => tell());
  const playing = button("Play", () => (state.playing ? stop() : play()), { className: "gb-main" });
  const step = (by, text) => button(text, () => {
    stop();
    time.value = time.value + by;
    draw();
    tell();
  });
  const buttons = element("div", { className: "gb-buttons gb-wide" },
    playing, step(-1, "A moment back"), step(1, "A moment on"));
  const moving = field("Images that D has seen", time);
  moving.classList.add("gb-wide");

  const files = element("input", {
    id: "replay-files", type: "file", multiple: true, webkitdirectory: true,
    onchange: () => openOwn([...files.files]),
  });
  const answer = element("p", { className: "gb-live-note", role: "status" });

  async function openOwn(list) {
    answer.textContent = "";
    try {
      const named = list.map((file) => ({
        name: file.webkitRelativePath || file.name, text: () => file.text(), file,
      }));
      const run = await fromFolder(named);
      run.grids = run.grids.map(({ file }) => file);
      runs.push(await own(run));
      listed(runs.length - 1);
      choose(runs.at(-1));
      answer.textContent = `Opened: ${run.title}, ${run.log.images.length} records, ${run.frames.length} sample `
        + `grids${run.measured.images ? `, ${run.measured.images.length} measurements` : ""}.`;
    } catch (error) {
      answer.textContent = `It could not be opened: ${error.message}.`;
    }
  }

  function listed(chosen) {
    menu.replaceChildren(...runs.map(({ title }, i) =>
      element("option", { value: i, selected: i === chosen }, title)));
  }

  /** Show another run, at the moment that is shown now, or at its end. */
  function choose(run) {
    stop();
    const before = state.times[time.value];
    Object.assign(state, { run, times: moments(run), frame: NaN });
    screen?.node.remove();
    screen = canvas(WIDTH, run.height, "");
    stage.prepend(screen.node);
    const last = state.times.length - 1;
    time.querySelector("input").max = last;
    time.value = before === undefined ? last : Math.max(0, upTo(state.times, before));
    draw();
    tell();
  }

  /** The curves of a run: what stands in its log, and what was measured on the way. */
  function curves({ log, measured }) {
    return {
      d: points(log, "d_loss"), g: points(log, "g_loss"),
      real: points(log, "real_logit"), fake: points(log, "fake_logit"),
      held: points(measured, "held_out_logit"),
      kid: points(measured, "kid"), coverage: points(measured, "coverage"),
    };
  }

  async function drawFrame(now) {
    const { run } = state;
    const i = upTo(run.frames, now);
    caption.textContent = i >= 0
      ? `The same codes at ${seen(run.frames[i])}, painted by the averaged generator.`
      : run.frames.length ? "No pictures have been painted yet." : "This run has no sample grids.";
    const key = `${i} ${screen.node.clientWidth} ${document.documentElement.dataset.theme}`;
    if (state.frame === key) return;
    state.frame = key;
    const target = screen;
    if (i < 0) {
      target.clear();
    } else {
      const buffer = document.createElement("canvas"); // shown when it is whole
      [buffer.width, buffer.height] = [2 * WIDTH, 2 * run.height];
      const context = buffer.getContext("2d");
      context.scale(2, 2);
      context.fillStyle = colors(place).paper;
      context.fillRect(0, 0, WIDTH, run.height);
      await run.draw(context, i);
      if (target !== screen || state.frame !== key) return;
      target.clear().drawImage(buffer, 0, 0, WIDTH, run.height);
    }
    target.say(i < 0 ? caption.textContent : `Generated pictures at ${seen(run.frames[i])} of ${run.title}`);
  }

  function draw() {
    const now = state.times[time.value] ?? 0;
    const look = colors(place);
    const at = curves(state.run);
    drawFrame(now).catch((error) => {
      caption.textContent = error.message;
    });
    const end = state.times.at(-1) ?? 0;
    const level = (y) => [[0, y], [end, y]];
    const common = { xName: "images", at: now };
    chart(plots.logits, look, { ...common, title: "D's logits: mean, the more the realer", lines: [
      { name: "training", points: at.real, color: look.real },
      { name: "held out", points: at.held, color: look.good, dash: [2, 3] },
      { name: "generated", points: at.fake, color: look.fake, dash: [6, 3] },
    ] });
    const lines = [
      { name: "D", points: at.d, color: look.real },
      { name: "G", points: at.g, color: look.fake, dash: [6, 3] },
    ];
    if (state.run.loss === "relativistic") {
      lines.push({ name: "no difference:", points: level(Math.log(2)), color: look.faint, dash: [2, 3] });
    }
    chart(plots.losses, look, { ...common, title: "Losses, D's with its penalties", lines });
    chart(plots.kid, look, { ...common, title: "KID to held-out pictures: lower is better", low: 0,
      high: Math.max(0.3, ...at.kid.slice(2).map(([, y]) => y)), // the first values are huge
      lines: [{ name: "KID", points: at.kid, color: look.fake }] });
    chart(plots.coverage, look, { ...common, title: "Coverage: held-out pictures that have a like", low: 0, high: 1,
      lines: [{ name: "coverage", points: at.coverage, color: look.fake }] });
    const value = (name) => told(valueAt(at[name], now));
    const known = (name) => Number.isFinite(valueAt(at[name], now));
    const words = {
      logits: `D's mean logit of training pictures ${value("real")}, of generated ones ${value("fake")}`
        + (known("held") ? `, of held-out ones ${value("held")}` : ""),
      losses: `D's loss ${value("d")}, G's ${value("g")}`,
      kid: known("kid") ? `KID ${value("kid")}` : "KID not measured yet",
      coverage: known("coverage") ? `coverage ${value("coverage")}` : "coverage not measured yet",
    };
    for (const [name, text] of Object.entries(words)) plots[name].say(`Over images seen. At ${seen(now)}: ${text}.`);
    plots.kid.node.hidden = !at.kid.length;
    plots.coverage.node.hidden = !at.coverage.length;
    state.words = `At ${seen(now)}: ${Object.values(words).filter((text) => !text.includes("not measured")).join("; ")}.`;
  }

  function tell() {
    said.textContent = state.words;
  }

  function stop() {
    if (!state.playing) return;
    cancelAnimationFrame(state.playing);
    state.playing = null;
    playing.textContent = "Play";
    tell();
  }

  function play() {
    const last = state.times.length - 1;
    const from = time.value >= last ? 0 : time.value;
    const begun = performance.now();
    playing.textContent = "Pause";
    const frame = (now) => {
      time.value = Math.min(last, from + Math.floor(((now - begun) / 1000 / SECONDS) * last));
      draw();
      if (time.value >= last) return stop();
      state.playing = requestAnimationFrame(frame);
    };
    state.playing = requestAnimationFrame(frame);
  }

  stage.append(moving, buttons);
  place.append(
    element("div", { className: "gb-desk gb-replay" },
      stage,
      element("div", { className: "gb-words" }, field("Run", menu), caption, said),
      element("div", { className: "gb-side" },
        plots.logits.node, plots.losses.node, plots.kid.node, plots.coverage.node),
    ),
    element("details", { className: "gb-replay-own" }, element("summary", {}, "Wind back a run of your own"),
      field("The folder of a run", files,
        "It is read in your browser, and nothing is sent anywhere. A run that is still training can be opened, too."),
      answer),
  );
  listed(0);
  choose(state.run);
  onLook(place, draw);
}

mount("#live-training", start);
