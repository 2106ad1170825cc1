// A logged run: what its folder holds, and what holds at a moment of it. Nothing here needs a page.

const GRID = /(?:^|\/)(?:samples\/)?(\d{6,})\.png$/; // samples/0000064000.png

/** The records of a log.jsonl, one object a line. A last line that is cut off is left out: the run
 * may be writing it. */
export function records(text) {
  const lines = text.split("\n").filter((line) => line.trim());
  return lines.flatMap((line, i) => {
    try {
      return [JSON.parse(line)];
    } catch {
      if (i === lines.length - 1) return [];
      throw new Error(`line ${i + 1} of log.jsonl is not JSON`);
    }
  });
}

/** Records as columns {key: [numbers]}; NaN where a record has no number. */
export function columns(list) {
  const keys = new Set(list.flatMap((record) => Object.keys(record)));
  const number = (x) => (typeof x === "number" ? x : NaN);
  return Object.fromEntries(
    [...keys].map((key) => [key, list.map((record) => number(record[key]))]),
  );
}

/** The points [images, value] of a column; none where the column is not there. */
export function points(table, key) {
  return table[key] ? table.images.map((x, i) => [x, table[key][i]]) : [];
}

/** Index of the last entry of a rising list that is at most `now`; -1 before the first. */
export function upTo(list, now) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] <= now) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The value that a curve has at a moment: that of its last point up to there, or NaN. */
export function valueAt(curve, now) {
  const i = upTo(curve.map(([x]) => x), now);
  return i < 0 ? NaN : curve[i][1];
}

/** All moments, in images seen, at which something about a run is known, in order. */
export function moments({ frames, log, measured }) {
  const all = [...frames, ...log.images, ...(measured.images ?? [])].filter(Number.isFinite);
  return [...new Set(all)].sort((a, b) => a - b);
}

/** A run out of the files of its folder, each with `name` (its path) and `text()`. `grids` are the
 * files of its sample grids, one for each number in `frames`. */
export async function fromFolder(files) {
  const named = (end) => files.find(({ name }) => name === end || name.endsWith(`/${end}`));
  const json = async (end) => {
    const file = named(end);
    try {
      return file ? JSON.parse(await file.text()) : {};
    } catch {
      throw new Error(`${end} is not JSON`);
    }
  };
  const journal = named("log.jsonl");
  if (!journal) throw new Error("there is no log.jsonl among these files: choose the folder of a run");
  const log = columns(records(await journal.text()).filter(({ images }) => Number.isFinite(images)));
  if (!log.images?.length) throw new Error("log.jsonl holds no record yet: train some steps more");
  const [recipe, best] = [await json("recipe.json"), await json("best.json")];
  const grids = files
    .filter(({ name }) => GRID.test(name))
    .map((file) => ({ images: Number(GRID.exec(file.name)[1]), file }))
    .sort((a, b) => a.images - b.images);
  const folder = journal.name.split("/").at(-2);
  return {
    title: folder ? `your run ${folder}` : "your run",
    loss: recipe.loss ?? "",
    frames: grids.map(({ images }) => images),
    grids: grids.map(({ file }) => file),
    log,
    measured: columns(best.history ?? []),
    best: best.images ?? null,
  };
}
