// Distances in time that stay true, by the clock of the cluster.
import { base } from './base.js';

/** What the cluster's clock is ahead of this one, in ms. */
let ahead = 0;

export function learn() {
  const now = Date.parse(document.documentElement.dataset.now ?? '');
  if (!Number.isNaN(now)) ahead = now - Date.now();
}

/** In at most two units. @param {number} ms */
export function span(ms) {
  const all = Math.max(1, Math.floor(Math.abs(ms) / 1000));
  const [d, h, m, s] = [Math.floor(all / 86400), Math.floor(all / 3600) % 24, Math.floor(all / 60) % 60, all % 60];
  if (all < 60) return `${s}s`;
  if (all < 3600) return `${m}m ${s}s`;
  return all < 86400 ? `${h}h ${m}m` : `${d}d ${h}h`;
}

/** Writes all of them anew. */
export function tick() {
  const now = Date.now() + ahead;
  for (const time of document.querySelectorAll('time[data-away], time[data-since]')) {
    const away = Date.parse(/** @type {HTMLTimeElement} */ (time).dateTime) - now;
    const since = time.hasAttribute('data-since');
    const text = since ? span(away) : away > 0 ? `in ${span(away)}` : `${span(away)} ago`;
    if (time.textContent !== text) time.textContent = text;
  }
}

export function start() {
  learn();
  setInterval(() => document.hidden || tick(), 1000);
  // So that times can be shown on the clock of whoever looks, also where no script runs.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = `cronclave_tz=${encodeURIComponent(zone)}; Path=${base || '/'}; Max-Age=31536000; SameSite=Strict`;
}
