// The parts of the explorer and of "Real or generated?" that need no page.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createHash } from "node:crypto";

import { atLeast, interval } from "../../book/_assets/live/binomial.js";
import { lerp, move, oneHot, slerp, truncate } from "../../book/_assets/live/latents.js";
import { crc32, encode, provenance, sha256 } from "../../book/_assets/live/png.js";
import { latents, twister } from "../../book/_assets/live/random.js";

const close = (a, b, by = 1e-12) => a.forEach((x, i) => assert.ok(Math.abs(x - b[i]) <= by, `${a}: ${b}`));
const bytes = (text) => new TextEncoder().encode(text);

test("the twister draws the published numbers", () => {
  const draw = twister(5489); // the reference implementation's default seed
  assert.equal(draw(), 3499211612);
  for (let i = 2; i < 10_000; i++) draw();
  assert.equal(draw(), 4123659995); // the 10,000th, by the C++ standard
});

test("more latents begin with the same ones", () => {
  const [few, many] = [latents(3, 5, 1), latents(130, 5, 1)];
  assert.deepEqual(many.slice(0, 3), few);
  assert.notDeepEqual(latents(1, 5, 2)[0], few[0]);
});

test("a walk on the sphere keeps the length and ends where it should", () => {
  const [a, b] = [[3, 0], [0, 3]];
  close(slerp(a, b, 0), a);
  close(slerp(a, b, 1), b);
  close(slerp(a, b, 1 / 3), [3 * Math.cos(Math.PI / 6), 3 * Math.sin(Math.PI / 6)]);
  close(slerp([1, 0], [2, 0], 0.5), [1.5, 0]);
  close(lerp(a, b, 0.5), [1.5, 1.5]);
});

test("truncation, moves, labels", () => {
  close(truncate([2, 4], 0.5, [0, 2]), [1, 3]);
  const start = [1, 1];
  close(move(start, [[1, 0], [0, 1]], [2, 1], [0.5, -3]), [2, -2]);
  close(start, [1, 1]);
  assert.deepEqual([...oneHot(2, 4)], [0, 0, 1, 0]);
});

test("checksums", () => {
  assert.equal(crc32(bytes("123456789")), 0xcbf43926);
  for (const length of [0, 3, 55, 56, 63, 64, 119, 120, 1000]) {
    const data = new Uint8Array(length).map((_, i) => i * 7);
    assert.equal(sha256(data), createHash("sha256").update(data).digest("hex"), `${length} bytes`);
  }
});

test("a PNG has its chunks in order", async () => {
  const rgb = new Uint8Array([255, 0, 0, 0, 255, 0]);
  const texts = provenance({ format: "f" }, { seed: 7, moved: [1] }, 2, 1, rgb);
  assert.equal(texts.seed, "7");
  assert.ok(!("moved" in texts));
  const file = await encode(2, 1, rgb, texts);
  const view = new DataView(file.buffer);
  const names = [];
  for (let at = 8; at < file.length; at += 12 + view.getUint32(at)) {
    names.push(String.fromCharCode(...file.subarray(at + 4, at + 8)));
  }
  assert.deepEqual(names, ["IHDR", "iTXt", "iTXt", "iTXt", "IDAT", "IEND"]);
});

test("binomial probabilities and the interval's ends", () => {
  assert.ok(Math.abs(atLeast(2, 3, 0.5) - 0.5) < 1e-12);
  assert.ok(Math.abs(atLeast(0, 10, 0.3) - 1) < 1e-12);
  const [low, high] = interval(10, 10);
  assert.ok(Math.abs(low - 0.025 ** 0.1) < 1e-12); // closed form
  assert.equal(high, 1);
  assert.equal(interval(0, 10)[0], 0);
});
