// Reading a run folder, and what holds at a moment of it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { columns, fromFolder, moments, points, records, upTo, valueAt } from "../../book/_assets/live/replay.js";

const file = (name, text = "") => ({ name, text: async () => text });

test("a log is read line by line; one that is being written loses its last line only", () => {
  assert.deepEqual(records('{"a": 1}\n\n{"a": 2}\n{"a"'), [{ a: 1 }, { a: 2 }]);
  assert.throws(() => records('{"a": 1}\noh\n{"a": 2}\n'), /line 2 of log\.jsonl is not JSON/);
});

test("columns have a gap where a record lacks a number", () => {
  const table = columns([{ images: 1, r1: 0.5 }, { images: 2, r1: "x" }, { images: 3, p: 1 }]);
  assert.deepEqual(table, { images: [1, 2, 3], r1: [0.5, NaN, NaN], p: [NaN, NaN, 1] });
  assert.deepEqual(points(table, "p"), [[1, NaN], [2, NaN], [3, 1]]);
  assert.deepEqual(points(table, "none"), []);
});

test("what holds at a moment is the last thing known", () => {
  assert.deepEqual([0, 1, 2, 5, 9].map((now) => upTo([1, 3, 5], now)), [-1, 0, 0, 2, 2]);
  assert.equal(valueAt([[10, 1], [20, 2]], 19.9), 1);
  assert.equal(valueAt([[10, 1], [20, 2]], 20), 2);
  assert.ok(Number.isNaN(valueAt([[10, 1]], 9)));
});

test("moments of samples, log and measurements stand in one order, each once", () => {
  const run = { frames: [64, 32], log: { images: [16, 32, NaN] }, measured: {} };
  assert.deepEqual(moments(run), [16, 32, 64]);
  assert.deepEqual(moments({ ...run, measured: { images: [40] } }), [16, 32, 40, 64]);
});

test("a run folder becomes a run", async () => {
  const grids = ["0000000064", "0000000032"].map((n) => file(`mine/samples/${n}.png`));
  const run = await fromFolder([
    ...grids, file("mine/samples/notes.txt"), file("mine/report.png"),
    file("mine/log.jsonl", '{"step": 1, "images": 32, "d_loss": 0.5}\n{"note": "no record"}\n'),
    file("mine/recipe.json", '{"loss": "hinge"}'),
    file("mine/best.json", '{"images": 32, "history": [{"images": 32, "kid": 0.1, "copies": false}]}'),
  ]);
  assert.deepEqual([run.title, run.loss, run.best], ["your run mine", "hinge", 32]);
  assert.deepEqual(run.frames, [32, 64]);
  assert.deepEqual(run.grids, [grids[1], grids[0]]);
  assert.deepEqual(run.log.images, [32]);
  assert.deepEqual(points(run.measured, "kid"), [[32, 0.1]]);
});

test("a run without measurements, and files chosen one by one", async () => {
  const run = await fromFolder([file("log.jsonl", '{"images": 5}\n'), file("0000000005.png")]);
  assert.deepEqual([run.title, run.loss, run.frames, run.best], ["your run", "", [5], null]);
  assert.deepEqual(run.measured, {});
});

test("what is no run is refused with a sentence", async () => {
  await assert.rejects(fromFolder([file("a/holiday.jpg")]), /no log\.jsonl/);
  await assert.rejects(fromFolder([file("log.jsonl", "")]), /no record yet/);
  const log = file("log.jsonl", '{"images": 5}\n');
  await assert.rejects(fromFolder([log, file("best.json", "{")]), /best\.json is not JSON/);
});
