// `sharp_resize.js PIXELS OUT WIDTH HEIGHT CHANNELS FACTOR`: enlarge in memory with sharp, as `pillow_resize.py` does.

const fs = require("node:fs");
const readline = require("node:readline");
const sharp = require("sharp");

async function serve(pixels, out, [width, height, channels, factor]) {
  const image = fs.readFileSync(pixels);
  console.log(`sharp ${sharp.versions.sharp} (libvips ${sharp.versions.vips})`);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const large = await sharp(image, { raw: { width, height, channels } })
      .resize(width * factor, height * factor, { kernel: "linear" })
      .toColourspace(channels === 1 ? "b-w" : "srgb")
      .raw()
      .toBuffer();
    if (line === "save") fs.writeFileSync(out, large);
    console.log();
  }
}

const [pixels, out, ...sizes] = process.argv.slice(2);
serve(pixels, out, sizes.map(Number));
