// Colours from the style sheet, which knows light and dark, and dashes beside them.

const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
export const COLOURS = 7;

const dark = matchMedia("(prefers-color-scheme: dark)");

/** Calls when light becomes dark, or dark light, until the signal ends that. */
export const onThemeChange = (call, signal) => dark.addEventListener("change", call, { signal });

export const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** The look of the line number `i`: seven colours, then the same with other dashes. */
export const lineLook = (i) => ({
  colour: `line-${(i % COLOURS) + 1}`,
  dash: DASHES[Math.floor(i / COLOURS) % DASHES.length],
});

/** The dash of what a curve is of, whatever its colour. */
export const KIND_DASH = { train: DASHES[0], validation: DASHES[1], test: DASHES[0] };

// From none to many: one hue that darkens on white, or lightens on black, by its lightness alone.
const LIGHT = [[246, 248, 250], [189, 213, 234], [98, 158, 206], [24, 95, 165], [6, 38, 84]];
const DARK = [[20, 27, 36], [24, 66, 110], [40, 126, 190], [126, 196, 240], [253, 246, 214]];

/** The colour of a share from 0 to 1, as CSS. */
export function shade(share) {
  const stops = dark.matches ? DARK : LIGHT;
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(place), stops.length - 2);
  const mixed = stops[i].map((from, k) => Math.round(from + (place - i) * (stops[i + 1][k] - from)));
  return `rgb(${mixed.join(" ")})`;
}
