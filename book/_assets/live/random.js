// The random numbers of `gan_book`: seed 7 here is seed 7 there.
//
// torch draws float32 normals with the Mersenne Twister (Matsumoto and Nishimura, 1998) and the
// formula of Box and Muller (1958) on blocks of 16 uniform numbers. Done here in float64, so that
// latents agree with `gan_book.model.latents` to about 1e-6.

const N = 624;
const BLOCK = 64; // rows drawn at a time, as in `gan_book.model.latents`

// A source of 32-bit whole numbers, as `numpy` and torch draw them from a seed.
export function twister(seed) {
  const state = new Uint32Array(N);
  state[0] = seed;
  for (let i = 1; i < N; i++) {
    const mixed = state[i - 1] ^ (state[i - 1] >>> 30);
    state[i] = Math.imul(1812433253, mixed) + i;
  }
  let place = N;
  return () => {
    if (place === N) {
      for (let i = 0; i < N; i++) {
        const bits = (state[i] & 0x80000000) | (state[(i + 1) % N] & 0x7fffffff);
        state[i] = state[(i + 397) % N] ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0);
      }
      place = 0;
    }
    let y = state[place++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

// `count` standard normal numbers, a multiple of 16, from a twister.
export function normals(draw, count) {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = (draw() & 0xffffff) / 0x1000000;
  for (let i = 0; i < count; i += 16) {
    for (let j = i; j < i + 8; j++) {
      const radius = Math.sqrt(-2 * Math.log(1 - values[j]));
      const angle = 2 * Math.PI * values[j + 8];
      values[j] = radius * Math.cos(angle);
      values[j + 8] = radius * Math.sin(angle);
    }
  }
  return values;
}

// `n` latents of `dim` numbers, the same as `gan_book.model.latents(n, dim, seed)`.
export function latents(n, dim, seed) {
  const draw = twister(seed);
  const rows = [];
  for (let start = 0; start < n; start += BLOCK) {
    const block = normals(draw, BLOCK * dim);
    for (let i = 0; i < Math.min(BLOCK, n - start); i++) {
      rows.push(block.slice(i * dim, (i + 1) * dim));
    }
  }
  return rows;
}
