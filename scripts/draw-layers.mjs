/** Draws the floors as a house seen from the side. */

const WIDTH = 1120;
const MARGIN = 16;
const LABEL = 64;
const BOX = { height: 68, gap: 10 };
const FLOOR_GAP = 12;
const CHARS = { name: 8.2, small: 5.9 };

/** @param {readonly import('./layers.mjs').Layer[]} layers */
export function draw(layers) {
  const floors = [...new Set(layers.map((layer) => layer.floor))].sort((a, b) => b - a);
  const parts = [];
  let y = MARGIN + 34;
  for (const floor of floors) {
    const boxes = layers.filter((layer) => layer.floor === floor);
    parts.push(text(MARGIN, y + BOX.height / 2 + 5, `floor ${floor}`, 'floor'));
    const room = WIDTH - 2 * MARGIN - LABEL;
    const width = (room - BOX.gap * (boxes.length - 1)) / boxes.length;
    boxes.forEach((layer, index) => {
      parts.push(...box(layer, MARGIN + LABEL + index * (width + BOX.gap), y, width));
    });
    y += BOX.height + FLOOR_GAP;
  }
  const legend =
    'An import goes down, along what a box lists after the arrow. Not listed because all may: lib; from floor 2 up ' +
    'also ' +
    'model and the types of telemetry.';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + MARGIN + 8}" role="img" aria-label="The ` +
      `floors of the code and what each may import">`,
    '<style>',
    'rect{fill:#f6f8fa;stroke:#57606a;rx:6}.name{font:600 14px ui-monospace,monospace;fill:#0550ae}',
    '.small{font:11px system-ui,sans-serif;fill:#24292f}.may{font:11px system-ui,sans-serif;fill:#57606a}',
    '.floor{font:12px system-ui,sans-serif;fill:#57606a}.title{font:600 16px system-ui,sans-serif;fill:#24292f}',
    '.page{fill:#fff;stroke:none}',
    '</style>',
    `<rect class="page" x="0" y="0" width="${WIDTH}" height="${y + MARGIN + 8}"/>`,
    text(MARGIN, MARGIN + 14, 'The floors of src/', 'title'),
    ...parts,
    text(MARGIN, y + 10, legend, 'floor'),
    '</svg>',
    '',
  ].join('\n');
}

function box(
  /** @type {import('./layers.mjs').Layer} */ layer,
  /** @type {number} */ x,
  /** @type {number} */ y,
  /** @type {number} */ width,
) {
  const inner = width - 16;
  const may = [...layer.may, ...(layer.also ?? []).map((extra) => extra.text)];
  const lines = wrap(layer.holds, inner).slice(0, 2);
  const below = may.length === 0 ? [] : wrap(`→ ${may.join(', ')}`, inner).slice(0, 4 - lines.length);
  return [
    `<rect x="${round(x)}" y="${y}" width="${round(width)}" height="${BOX.height}"/>`,
    text(
      x + 8,
      y + 17,
      layer.folder.length * CHARS.name > inner ? String(layer.folder.split('/').pop()) : layer.folder,
      'name',
    ),
    ...lines.map((line, index) => text(x + 8, y + 33 + index * 12.5, line, 'small')),
    ...below.map((line, index) => text(x + 8, y + 33 + (lines.length + index) * 12.5, line, 'may')),
  ];
}

function wrap(/** @type {string} */ words, /** @type {number} */ width) {
  const lines = [''];
  for (const word of words.split(' ')) {
    const line = lines.at(-1);
    const longer = line === '' ? word : `${line} ${word}`;
    if (longer.length * CHARS.small <= width || line === '') lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

function text(
  /** @type {number} */ x,
  /** @type {number} */ y,
  /** @type {string} */ content,
  /** @type {string} */ kind,
) {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text class="${kind}" x="${round(x)}" y="${round(y)}">${escaped}</text>`;
}

function round(/** @type {number} */ value) {
  return Math.round(value * 10) / 10;
}
