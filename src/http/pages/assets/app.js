// Everything here is an addition: pages work without it.
import * as dialog from './dialog.js';
import * as keys from './keys.js';
import * as live from './live.js';
import * as time from './time.js';

time.start();
dialog.start();
live.start();
keys.start();

const typed = document.querySelector('form[data-typed]');
if (typed) import('./explain.js').then((explain) => explain.start(/** @type {HTMLFormElement} */ (typed)));
if (document.getElementById('log-lines')) import('./log.js').then((log) => log.start());

// A page about something that is away asks again by itself.
const again = document.querySelector('[data-again]');
if (again) setTimeout(() => location.reload(), Number(again.getAttribute('data-again')) * 1000);

if (document.querySelector('[data-timeline]')) import('./timeline.js').then((timeline) => timeline.start());
