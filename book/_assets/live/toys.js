// The point sets of gan_book.data.toys, with their densities and counted modes. Points are stored
// one after the other in one array: x0, y0, x1, y1, ...

const turned = (radius, angle) => [radius * Math.cos(angle), radius * Math.sin(angle)];

function mixture(name, modes, sd) {
  return { name, sd, modes, centers: modes, modeOf: modes.map((_, i) => i), curve: null };
}

function along(name, curve, count, sd, resolution) {
  const total = count * Math.max(1, Math.ceil(resolution / count));
  const places = Array.from({ length: total }, (_, i) => i);
  return {
    name, sd, curve,
    modes: Array.from({ length: count }, (_, k) => curve((k + 0.5) / count)),
    centers: places.map((i) => curve((i + 0.5) / total)),
    modeOf: places.map((i) => Math.floor((i * count) / total)),
  };
}

/** Eight Gaussians on a circle. */
export function ring(sd, count = 8, radius = 2) {
  const angles = Array.from({ length: count }, (_, k) => (2 * Math.PI * k) / count);
  return mixture("ring", angles.map((angle) => turned(radius, angle)), sd);
}

/** 5 x 5 Gaussians on a square lattice; `spacing` is 2 in the package and 1 in the laboratory. */
export function grid(sd, side = 5, spacing = 2) {
  const line = Array.from({ length: side }, (_, i) => spacing * (i - (side - 1) / 2));
  return mixture("grid", line.flatMap((x) => line.map((y) => [x, y])), sd);
}

/** Archimedes' spiral, two turns, nearly uniform in arc length. */
export function spiral(sd, turns = 2, radius = 2, count = 16) {
  const curve = (u) => {
    const t = Math.sqrt(0.01 + 0.99 * u);
    return turned(radius * t, 2 * Math.PI * turns * t);
  };
  return along("spiral", curve, count, sd, 1536);
}

/** Two interleaved half circles. */
export function twoMoons(sd, count = 16) {
  const curve = (u) => {
    const sign = u < 0.5 ? 1 : -1;
    const angle = Math.PI * (u < 0.5 ? 2 * u : 2 * u - 1);
    return [sign * (Math.cos(angle) - 0.5), sign * (Math.sin(angle) - 0.25)];
  };
  return along("two-moons", curve, count, sd, 1024);
}

/** Gaussians at the given places, at least one: what a reader draws. */
export function drawn(sd, places) {
  return mixture("drawn", places, sd);
}

/** n points of a set: Float64Array(2n). */
export function sample(set, n, random) {
  const points = new Float64Array(2 * n);
  for (let i = 0; i < n; i += 1) {
    const [x, y] = set.curve
      ? set.curve(random.uniform())
      : set.centers[random.below(set.centers.length)];
    points[2 * i] = x + set.sd * random.normal();
    points[2 * i + 1] = y + set.sd * random.normal();
  }
  return points;
}

/** How many modes the points capture, and which share of them is of high quality: within three
 * standard deviations of the nearest center. A mode is captured by a tenth of its fair share. */
export function countModes(set, points, radius = 3, minimum = 0.1) {
  const n = points.length / 2;
  const counts = new Array(set.modes.length).fill(0);
  for (let i = 0; i < n; i += 1) {
    let best = Infinity;
    let nearest = 0;
    set.centers.forEach(([x, y], k) => {
      const squared = (points[2 * i] - x) ** 2 + (points[2 * i + 1] - y) ** 2;
      if (squared < best) [best, nearest] = [squared, k];
    });
    if (best <= (radius * set.sd) ** 2) counts[set.modeOf[nearest]] += 1;
  }
  const needed = Math.max(1, (minimum * n) / set.modes.length);
  return {
    captured: counts.filter((count) => count >= needed).length,
    quality: counts.reduce((sum, count) => sum + count, 0) / n,
    shares: counts.map((count) => count / n),
  };
}

/** Mean of Gaussians of width `sd` around `centers`, at the `side` x `side` centers of the cells of
 * the square [-extent, extent]^2: Float64Array, the row of the smallest y first. */
export function blurred(centers, sd, extent, side) {
  const density = new Float64Array(side * side);
  const step = (2 * extent) / side;
  const bell = (at, center) => Math.exp(-((at - center) ** 2) / (2 * sd * sd));
  const [row, column] = [new Float64Array(side), new Float64Array(side)];
  for (const [x, y] of centers) {
    for (let i = 0; i < side; i += 1) {
      const at = -extent + (i + 0.5) * step;
      row[i] = bell(at, x);
      column[i] = bell(at, y);
    }
    for (let j = 0; j < side; j += 1) {
      if (column[j] < 1e-12) continue;
      for (let i = 0; i < side; i += 1) density[j * side + i] += column[j] * row[i];
    }
  }
  const scale = 1 / (2 * Math.PI * sd * sd * centers.length);
  return density.map((value) => value * scale);
}

/** Jensen-Shannon divergence in nats of two densities on cells of the given area: 0 to log 2. What
 * lies outside the square is treated as one more cell, so that no generator can hide there. */
export function jensenShannon(p, q, area) {
  const part = (a, b) => (a > 0 ? 0.5 * a * Math.log((2 * a) / (a + b)) : 0);
  let [sum, insideP, insideQ] = [0, 0, 0];
  p.forEach((value, i) => {
    sum += area * (part(value, q[i]) + part(q[i], value));
    insideP += area * value;
    insideQ += area * q[i];
  });
  const [outP, outQ] = [Math.max(0, 1 - insideP), Math.max(0, 1 - insideQ)];
  return sum + part(outP, outQ) + part(outQ, outP);
}
