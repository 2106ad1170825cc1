// Generators in the page: networks of the book as ONNX files, run by onnxruntime-web (WebAssembly,
// one thread). Nothing is loaded before `studio` is asked for it, and nothing from another host.

import { lerp, oneHot, slerp } from "./latents.js";
import { latents } from "./random.js";

const TILE = 16_384; // places that a coordinate network computes at a time

/** A classic script, loaded once the page asks for it. */
function script(address) {
  return new Promise((resolve, reject) => {
    const node = document.createElement("script");
    node.src = address;
    node.onload = resolve;
    node.onerror = () => reject(new Error(`${address} could not be loaded`));
    document.head.append(node);
  });
}

/** The bytes of a file. */
async function bytes(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address} could not be loaded`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** What the built book holds: `facts.models`, or `facts.why` there are none. */
export async function catalog(base) {
  if (location.protocol === "file:") {
    return { models: [], why: "browsers run networks only on pages that come from a server; in the "
      + "folder of this page run: python -m http.server, and open http://localhost:8000" };
  }
  const answer = await fetch(`${base}models.json`);
  if (!answer.ok) return { models: [], why: "this copy of the book holds no networks" };
  return answer.json();
}

/** Opens models of a catalog: `await studio(base, facts).open("atelier-32")`. */
export function studio(base, facts) {
  const folder = new URL(base + facts.runtime.folder, document.baseURI).href;
  const opened = new Map();
  let runtime = null;

  async function start() {
    if (!globalThis.ort) await script(`${folder}ort.wasm.min.js`);
    const { ort } = globalThis;
    ort.env.wasm.wasmPaths = folder;
    ort.env.wasm.numThreads = 1;
    return ort;
  }

  async function load(about) {
    runtime ??= start();
    const parts = Object.entries(about.parts);
    const files = parts.map(([, { file }]) => bytes(`${base}models/${file}`));
    const ort = await runtime.catch((error) => {
      runtime = null;
      throw error;
    });
    const sessions = {};
    for (const [i, [part]] of parts.entries()) {
      sessions[part] = await ort.InferenceSession.create(await files[i]);
    }
    return generator(ort, about, sessions);
  }

  return {
    open(name) {
      if (!opened.has(name)) {
        const loading = load(facts.models.find((about) => about.name === name));
        opened.set(name, loading);
        loading.catch(() => opened.delete(name)); // so that it can be tried again
      }
      return opened.get(name);
    },
  };
}

/** One generator. A picture is described by { code, noise, labels }: its code in z or w, or a list
 * of codes, one for each layer; the noise of a style-based generator; weights of the classes. */
function generator(ort, about, sessions) {
  const classes = about.labels.reduce((product, { options }) => product * options.length, 1);
  const [height, width] = about.size;
  const flat = (rows) => {
    const all = new Float32Array(rows.length * rows[0].length);
    rows.forEach((row, i) => all.set(row, i * row.length));
    return all;
  };
  const tensor = (rows, shape = [rows.length, rows[0].length]) =>
    new ort.Tensor("float32", flat(rows), shape);
  const run = async (part, inputs) => Object.values(await sessions[part].run(inputs))[0];

  /** The pictures of a seed, as `sample(n, seed)` of gan_book numbers them. */
  async function drawn(n, seed) {
    const z = latents(n, about.z_dim, seed);
    const noise = z.map((row) => row.slice(about.style_dim));
    if (about.space === "z") return z.map((code, i) => ({ code, noise: noise[i] }));
    const inputs = { z: tensor(z.map((row) => row.slice(0, about.style_dim))) };
    if (about.layers) inputs.psi = new ort.Tensor("float32", new Float32Array(n).fill(1), [n, 1]);
    const w = await run("mapping", inputs);
    const dim = w.dims.at(-1);
    const stride = w.data.length / n; // a style for each layer, all the same here
    return noise.map((own, i) => ({ code: w.data.slice(i * stride, i * stride + dim), noise: own }));
  }

  /** Between two pictures: along a great circle in z, a straight line in w. */
  function between(a, b, t) {
    const way = about.space === "z" ? slerp : lerp;
    const labels = a.labels && lerp(a.labels, b.labels, t);
    return { code: t ? way(a.code, b.code, t) : a.code, noise: a.noise, labels };
  }

  /** The picture `a`, with the style of `b` in the layers from `layer` on. */
  function mixed(a, b, layer) {
    const codes = Array.from({ length: about.layers }, (_, i) => (i < layer ? a.code : b.code));
    return { ...a, code: codes };
  }

  /** Pictures as { height, width, data }: float32 (n, 3, height, width) in [-1, 1]. `side` is
   * another size, for a generator that paints at any. */
  async function paint(pictures, side = height) {
    const n = pictures.length;
    const codes = pictures.map(({ code }) => code);
    if (about.any_size) return places(codes, side);
    const inputs = about.space === "z" ? { z: tensor(codes) } : {};
    if (about.layers) {
      const rows = codes.map((code) =>
        Array.isArray(code) ? flat(code) : flat(Array(about.layers).fill(code)));
      inputs.w = tensor(rows, [n, about.layers, rows[0].length / about.layers]);
      inputs.noise = tensor(pictures.map(({ noise }) => noise));
    }
    if (about.labels.length) inputs.labels = tensor(pictures.map(({ labels }) => labels));
    const image = await run(about.layers ? "synthesis" : "whole", inputs);
    return { height, width, data: image.data };
  }

  /** As `paint`, for a network that is asked for the color of each place. */
  async function places(codes, side) {
    const area = side * side;
    const data = new Float32Array(codes.length * 3 * area);
    const at = new Float32Array(2 * area);
    for (let i = 0; i < area; i++) {
      at[2 * i] = (Math.floor(i / side) + 0.5) / side;
      at[2 * i + 1] = ((i % side) + 0.5) / side;
    }
    const w = tensor(codes);
    for (let start = 0; start < area; start += TILE) {
      const count = Math.min(TILE, area - start);
      const part = at.subarray(2 * start, 2 * (start + count));
      const colors = await run("synthesis", { w, places: new ort.Tensor("float32", part, [count, 2]) });
      for (let row = 0; row < codes.length * 3; row++) {
        data.set(colors.data.subarray(row * count, (row + 1) * count), row * area + start);
      }
    }
    return { height: side, width: side, data };
  }

  return {
    about, classes, drawn, between, mixed, paint,
    labels: (index) => (about.labels.length ? oneHot(index, classes) : undefined),
  };
}

/** Number `i` of painted pictures as `ImageData`, rounded as `gan_book.to_uint8` rounds. */
export function pixels({ height, width, data }, i = 0) {
  const area = height * width;
  const rgba = new Uint8ClampedArray(4 * area).fill(255);
  for (let c = 0; c < 3; c++) {
    for (let p = 0; p < area; p++) {
      rgba[4 * p + c] = Math.round((data[(3 * i + c) * area + p] + 1) * 127.5);
    }
  }
  return new ImageData(rgba, width, height);
}
