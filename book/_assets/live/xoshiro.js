// Random numbers with a seed: the same ones in every browser, and in tests/live/twin.py.

/** A stream of random numbers: xoshiro128** (Blackman and Vigna, 2018), filled from `seed` by a
 * 32-bit mixer. `uniform()` is in [0, 1) with 53 bits; `normal()` comes from Box and Muller;
 * `below(n)` is a whole number from 0 to n - 1. */
export function stream(seed) {
  let mixed = seed >>> 0;
  const mix = () => {
    mixed = (mixed + 0x9e3779b9) >>> 0;
    let z = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
  const s = Uint32Array.of(mix(), mix(), mix(), mix());
  const turn = (x, k) => ((x << k) | (x >>> (32 - k))) >>> 0;
  const word = () => {
    const result = Math.imul(turn(Math.imul(s[1], 5) >>> 0, 7), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = turn(s[3], 11);
    return result;
  };
  const uniform = () => {
    const high = word() >>> 5;
    return (high * 67108864 + (word() >>> 6)) / 9007199254740992;
  };
  let spare = null;
  const normal = () => {
    if (spare !== null) {
      const value = spare;
      spare = null;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
  return { uniform, normal, below: (n) => Math.floor(uniform() * n) };
}
