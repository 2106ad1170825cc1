// PNG files written by hand, so that a picture can carry where it comes from.
//
// The record is that of `gan_book.provenance`: JSON in an iTXt chunk, with a hash of the pixels.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const SHA_PRIMES = [];
for (let n = 2; SHA_PRIMES.length < 64; n++) {
  if (SHA_PRIMES.every((prime) => n % prime)) SHA_PRIMES.push(n);
}
// the first 32 bits of the fractional part of a root
const fraction = (x) => ((x % 1) * 2 ** 32) | 0;
const utf8 = (text) => new TextEncoder().encode(text);

/** The bytes of several arrays, one after the other. */
function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    whole.set(part, place);
    place += part.length;
  }
  return whole;
}

/** Four bytes, the largest first. */
function big(number) {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255);
}

/** The checksum of PNG and zip. */
export function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** SHA-256 in hexadecimal. Browsers have their own only on pages served with https. */
export function sha256(bytes) {
  const k = SHA_PRIMES.map((prime) => fraction(Math.cbrt(prime)));
  const hash = SHA_PRIMES.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
  const rest = new Uint8Array(((119 - (bytes.length % 64)) % 64) + 9);
  rest[0] = 128;
  rest.set([...big(Math.floor(bytes.length / 2 ** 29)), ...big(bytes.length << 3)], rest.length - 8);
  const view = new DataView(joined([bytes, rest]).buffer);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  const w = new Int32Array(64);
  for (let start = 0; start < view.byteLength; start += 64) {
    for (let i = 0; i < 64; i++) {
      if (i < 16) {
        w[i] = view.getInt32(start + 4 * i);
        continue;
      }
      const [x, y] = [w[i - 15], w[i - 2]];
      const s0 = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3);
      const s1 = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
      const first = (h + s1 + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
      const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
      const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((x, i) => { hash[i] = (hash[i] + x) | 0; });
  }
  return hash.map((x) => (x >>> 0).toString(16).padStart(8, "0")).join("");
}

/** A chunk: length, name, data, checksum. */
function chunk(name, data) {
  const body = joined([utf8(name), data]);
  return joined([big(data.length), body, big(crc32(body))]);
}

/** zlib's format, by the browser. */
async function deflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A PNG file of `rgb` (3 bytes a pixel, row by row), with `texts` {keyword: text} in it. */
export async function encode(width, height, rgb, texts = {}) {
  const lines = new Uint8Array(height * (1 + 3 * width)); // before each line: no filter
  for (let y = 0; y < height; y++) {
    lines.set(rgb.subarray(3 * width * y, 3 * width * (y + 1)), y * (1 + 3 * width) + 1);
  }
  const chunks = Object.entries(texts).map(([key, text]) =>
    chunk("iTXt", joined([utf8(key), [0, 0, 0, 0, 0], utf8(text)])),
  );
  return joined([
    SIGNATURE,
    chunk("IHDR", joined([big(width), big(height), [8, 2, 0, 0, 0]])),
    ...chunks,
    chunk("IDAT", await deflated(lines)),
    chunk("IEND", []),
  ]);
}

/** What is known of a picture as texts for `encode`: the record, and its plain facts beside it. */
export function provenance(record, facts, width, height, rgb) {
  const head = utf8(`RGB ${width}x${height}\n`);
  const whole = { ...record, ...facts, pixels: { sha256: sha256(joined([head, rgb])) } };
  const plain = Object.entries(facts).filter(([, value]) => typeof value !== "object");
  return {
    Software: "The GAN Book, in the page",
    ...Object.fromEntries(plain.map(([key, value]) => [key, String(value)])),
    "gan-book-provenance": JSON.stringify(whole),
  };
}
